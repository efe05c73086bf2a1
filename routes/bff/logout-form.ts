import { selfSubmittingForm, selfSubmittingFormHeaders } from './self-submitting-form.ts'

/**
 * A page that sends the parameters of an end session request as a form: with a long `id_token_hint` the URL would be
 * refused by proxies and issuers. Issuers must accept both.
 *
 * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
 */
export function logoutForm({ origin, pathname, searchParams }: URL): string {
  return selfSubmittingForm({
    title: 'Logging out',
    action: origin + pathname,
    fields: searchParams,
    button: 'Log out',
  })
}

export const logoutFormHeaders = selfSubmittingFormHeaders("'none'")
