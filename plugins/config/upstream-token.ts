import { type Described, tokenParameters } from '../oidc-session/token-target.ts'
import type { TokenKind } from './options.ts'

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
export function scope(value: string): string {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value)) return value
  throw new TypeError('must be scopes with one space between, such as orders.read orders.write')
}

/** @see https://www.rfc-editor.org/rfc/rfc8707#section-2 */
export function resource(value: string): string {
  if (URL.canParse(value) && !value.includes('#')) return value
  throw new TypeError('must be an absolute URI without a fragment, such as https://api.example.com/orders')
}

export function audience(value: string): string {
  if (value !== '') return value
  throw new TypeError('is empty: name the API as the issuer knows it, or leave it out')
}

/** A token that nobody asks for needs no description, and one that is given in exchange does. */
export function tokenFault({
  token = 'user',
  exchange,
  ...given
}: Described & { token?: TokenKind | undefined; exchange?: boolean | undefined }): string | undefined {
  const [described] = Object.keys(tokenParameters(given))
  if (token === 'none' && described)
    return `has a ${described}, but no token (token is none): remove one of the two`
  if (exchange && !token.startsWith('user')) {
    return `has exchange, but no user's token that could be exchanged (token is ${token}): remove one of the two`
  }
  if (exchange && !described) {
    return 'has exchange, but not what for: add the audience, resource or scope of the token that is wanted'
  }
  return undefined
}
