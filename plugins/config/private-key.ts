import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto'

/**
 * Checks that a client's key file can sign: a JWK, a JWKS with a private key, or a PEM private key.
 * @throws TypeError as a {@link Parser} does, with nothing of the key in it
 */
export function checkPrivateKey(file: string): void {
  const text = file.trim()
  if (/ENCRYPTED/.test(text) && text.startsWith('-----')) {
    throw new TypeError(
      'names a key that is encrypted: decrypt it, as in openssl pkey -in key.pem -out plain.pem',
    )
  }
  const key = text.startsWith('{') ? fromJson(text) : importKey(text)
  if (!canSign(key)) {
    throw new TypeError(
      'names a key that can not sign: use RSA of at least 2048 bits, EC P-256, P-384, P-521 or Ed25519',
    )
  }
}

function fromJson(text: string): KeyObject {
  const json = parseJson(text)
  const jwk = Array.isArray(json['keys']) ? json['keys'].find((key) => key?.d !== undefined) : json
  return importKey({ key: jwk as JsonWebKey, format: 'jwk' })
}

function parseJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message may quote the key.
    throw new TypeError('names a file that is not valid JSON')
  }
}

function importKey(input: string | { key: JsonWebKey; format: 'jwk' }): KeyObject {
  try {
    return createPrivateKey(input)
  } catch {
    throw new TypeError(
      'names a file without a private key: it must be a JWK, a JWKS or PEM, with the private part',
    )
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc7518#section-3.1 */
function canSign({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  switch (asymmetricKeyType) {
    case 'rsa':
      return (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
    case 'ec':
      return ['prime256v1', 'secp384r1', 'secp521r1'].includes(asymmetricKeyDetails?.namedCurve ?? '')
    default:
      return asymmetricKeyType === 'ed25519'
  }
}
