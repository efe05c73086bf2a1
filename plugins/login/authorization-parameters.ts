import { GatewayError } from '../errors/catalogue.ts'

/**
 * Parameters that a frontend may set and that are passed on to the issuer.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
 */
const parameters = {
  prompt: isPrompt,
  login_hint: (value: string) => /^[^\p{Cc}]{1,256}$/u.test(value),
  ui_locales: (value: string) => /^[A-Za-z\d-]{1,35}( [A-Za-z\d-]{1,35}){0,9}$/.test(value),
  acr_values: (value: string) => /^[\x21-\x7e]{1,256}( [\x21-\x7e]{1,256}){0,9}$/.test(value),
  max_age: (value: string) => /^\d{1,9}$/.test(value),
}

/** @throws GatewayError BFF_INVALID_PARAMETER, naming the parameter */
export function authorizationParameters(query: Record<string, unknown>): URLSearchParams {
  const valid = new URLSearchParams()
  for (const [name, isValid] of Object.entries(parameters)) {
    const value = query[name]
    if (value === undefined) continue
    if (typeof value !== 'string' || !isValid(value)) {
      throw new GatewayError('BFF_INVALID_PARAMETER', { details: `${name} is not valid` })
    }
    valid.set(name, value)
  }
  return valid
}

/** Whether the parameter exists and the value is valid for it. */
export function isAuthorizationParameter(name: string, value: string): boolean {
  return Object.hasOwn(parameters, name) && parameters[name as keyof typeof parameters](value)
}

/**
 * `none` can't be combined with other values.
 * @see https://openid.net/specs/openid-connect-prompt-create-1_0.html for `create`
 */
function isPrompt(value: string): boolean {
  const prompts = value.split(' ')
  const known = prompts.every((prompt) =>
    ['none', 'login', 'consent', 'select_account', 'create'].includes(prompt),
  )
  return known && (prompts.length === 1 || !prompts.includes('none'))
}
