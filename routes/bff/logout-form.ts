import { escapeHtml, hashSource } from '../../http/html.ts'

const script = 'document.forms[0].submit()'

/**
 * A page that sends the parameters of an end session request as a form: with a long `id_token_hint` the URL would be
 * refused by proxies and issuers. Issuers must accept both.
 *
 * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
 */
export function logoutForm(endSessionUrl: URL): string {
  const action = endSessionUrl.origin + endSessionUrl.pathname
  const fields = [...endSessionUrl.searchParams].map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">\n`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Logging out</title>
<form method="post" action="${escapeHtml(action)}">
${fields.join('')}<noscript><button>Log out</button></noscript>
</form>
<script>${script}</script>
</html>
`
}

/** No `form-action`: browsers apply it to the issuer's redirects too, and those may lead to other hosts. */
export const logoutFormHeaders = {
  'content-security-policy': `default-src 'none';script-src ${hashSource(script)};base-uri 'none';frame-ancestors 'none'`,
  'content-type': 'text/html; charset=utf-8',
  // With `same-origin`, the form would be sent with `Origin: null`, which issuers may refuse.
  'referrer-policy': 'strict-origin',
}
