import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { importJWK, type JWK } from 'jose'
import { type ClientAuth, ClientSecretBasic, ClientSecretPost, None, PrivateKeyJwt } from 'openid-client'

export interface ClientCredentials {
  clientSecret?: string
  /** JWK, JWKS or PEM. */
  clientPrivateKeyFile?: string
}

/** How the gateway authenticates at the issuer: `private_key_jwt`, a client secret, or none (public client). */
export async function clientAuthentication(credentials: ClientCredentials): Promise<ClientAuth> {
  if (credentials.clientPrivateKeyFile !== undefined) {
    return privateKeyJwt(await readFile(credentials.clientPrivateKeyFile, 'utf8'))
  }
  return credentials.clientSecret === undefined ? None() : clientSecret(credentials.clientSecret)
}

/** `client_secret_basic`, or `client_secret_post` where the issuer supports only that.
 *  @see https://openid.net/specs/openid-connect-core-1_0.html#ClientAuthentication */
function clientSecret(secret: string): ClientAuth {
  const basic = ClientSecretBasic(secret)
  const post = ClientSecretPost(secret)
  return (server, client, body, headers) => {
    const supported = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    const usePost = supported.includes('client_secret_post') && !supported.includes('client_secret_basic')
    return (usePost ? post : basic)(server, client, body, headers)
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc7523#section-2.2 */
async function privateKeyJwt(file: string): Promise<ClientAuth> {
  const jwk = file.trimStart().startsWith('{') ? fromJson(JSON.parse(file)) : fromPem(file)
  const key = await importJWK(jwk, jwk.alg ?? defaultAlgorithm(jwk))
  if (!('algorithm' in key)) throw new TypeError('OIDC_CLIENT_PRIVATE_KEY_FILE holds no private key')
  return PrivateKeyJwt(jwk.kid === undefined ? key : { key, kid: jwk.kid })
}

function fromJson(json: JWK | { keys: JWK[] }): JWK {
  const jwk = 'keys' in json && Array.isArray(json.keys) ? json.keys.find(({ d }) => d !== undefined) : json
  if (!jwk || !('d' in jwk)) throw new TypeError('OIDC_CLIENT_PRIVATE_KEY_FILE holds no private key')
  return jwk
}

function fromPem(pem: string): JWK {
  const key: KeyObject = createPrivateKey(pem)
  return key.export({ format: 'jwk' }) as JWK
}

function defaultAlgorithm({ kty, crv }: JWK): string {
  if (kty === 'RSA') return 'RS256'
  if (kty === 'OKP') return 'Ed25519'
  return crv === 'P-384' ? 'ES384' : crv === 'P-521' ? 'ES512' : 'ES256'
}
