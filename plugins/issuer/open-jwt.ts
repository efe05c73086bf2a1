import { decodeJwt } from 'jose'
import type { Decryption } from './decryption.ts'
import { checkSignature, type SigningKeys } from './issuer-keys.ts'
import { TokenError } from './token-error.ts'

export interface JwtRules extends SigningKeys {
  issuer: string
  clientId: string
}

/**
 * The claims of an answer that the issuer signs, encrypts or both, as JSON. One that is only encrypted is taken as it
 * is, so the caller must know otherwise that it is the issuer's, as of an answer over TLS.
 *
 * @throws TokenError or an error of jose if it is not valid; other errors if the keys can't be fetched
 */
export async function openJwt(jwt: string, { decrypt }: Decryption, rules: JwtRules): Promise<string> {
  const content = await decrypt(jwt)
  if (content !== jwt && content.trimStart().startsWith('{')) return content
  await checkSignature(content, rules)
  const claims = decodeJwt(content)
  if (claims.iss !== undefined && claims.iss !== rules.issuer)
    throw new TokenError('The answer is from another issuer', 'JWT_OF_ANOTHER_ISSUER')
  if (claims.aud !== undefined && ![claims.aud].flat().includes(rules.clientId))
    throw new TokenError('The answer is for another client', 'JWT_FOR_ANOTHER_CLIENT')
  return JSON.stringify(claims)
}
