import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { compactDecrypt, errors, type JWK } from 'jose'
import { TokenError } from './verify-jwt.ts'

/** Decrypts what the issuer encrypts for this client: ID tokens, UserInfo, authorization responses, logout tokens. */
export interface Decryption {
  /** Reads the key file again, which may have a new key. @throws when it can't be read */
  load(): Promise<void>
  /**
   * The content of an encrypted token, usually a signed one that must still be verified; any other token as it is.
   * @throws TokenError
   */
  decrypt(token: string): Promise<string>
}

/** @see https://www.rfc-editor.org/rfc/rfc7518#section-4.1. Not `RSA1_5`, `dir` and those with passwords. */
const algorithms = [
  'RSA-OAEP',
  'RSA-OAEP-256',
  'RSA-OAEP-384',
  'RSA-OAEP-512',
  'ECDH-ES',
  'ECDH-ES+A128KW',
  'ECDH-ES+A192KW',
  'ECDH-ES+A256KW',
]

const code = 'TOKEN_NOT_DECRYPTED'

interface DecryptionKey {
  key: KeyObject
  kid?: string | undefined
}

/** @param file JWK, JWKS or PEM. Unset: encrypted tokens are refused */
export function createDecryption(file: string | undefined): Decryption {
  let keys: DecryptionKey[] = []
  return {
    async load() {
      if (file !== undefined) keys = keysOf(await readFile(file, 'utf8'))
    },

    async decrypt(token) {
      if (!isEncrypted(token)) return token
      if (keys.length === 0)
        throw new TokenError(
          'The issuer encrypts for this client, but OIDC_DECRYPTION_KEY_FILE is not set',
          code,
        )
      let failure: unknown
      for (const { key, kid } of keys) {
        try {
          const { plaintext } = await compactDecrypt(token, (header) => keyFor(header, { key, kid }), {
            keyManagementAlgorithms: algorithms,
          })
          return new TextDecoder().decode(plaintext)
        } catch (error) {
          failure = error
        }
      }
      throw new TokenError('No key of OIDC_DECRYPTION_KEY_FILE decrypts a token of the issuer', code, failure)
    },
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc7516#section-3.1 */
function isEncrypted(token: string): boolean {
  return token.split('.').length === 5
}

function keysOf(text: string): DecryptionKey[] {
  if (!text.trimStart().startsWith('{')) return [{ key: createPrivateKey(text) }]
  const json = JSON.parse(text) as JWK | { keys: JWK[] }
  const jwks = 'keys' in json && Array.isArray(json.keys) ? json.keys : [json as JWK]
  return jwks
    .filter(({ d, use }) => d !== undefined && use !== 'sig')
    .map((jwk) => ({ key: createPrivateKey({ key: jwk, format: 'jwk' }), kid: jwk.kid }))
}

/** @throws when the key is not the one that the header names, or is of another kind */
function keyFor(header: { alg?: string; kid?: string }, { key, kid }: DecryptionKey): KeyObject {
  const isRsa = key.asymmetricKeyType === 'rsa'
  const isNamed = header.kid === undefined || kid === undefined || header.kid === kid
  if (isNamed && isRsa === header.alg?.startsWith('RSA')) return key
  throw new errors.JWEDecryptionFailed('The key is not the one of the header')
}
