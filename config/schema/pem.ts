import { createPrivateKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'

/** A certificate with its chain, and its private key. PEM. */
export interface KeyPair {
  cert: string
  key: string
}

/** Which of the two files is at fault, and why. The message is placed after its name and contains nothing of the key. */
export interface KeyPairFault {
  file: keyof KeyPair
  message: string
}

const encrypted = 'names a key that is encrypted: decrypt it, as in openssl pkey -in key.pem -out plain.pem'

/** Reasons why a server can't use a certificate with a key. */
export function keyPairFaults({ cert, key }: KeyPair): KeyPairFault[] {
  // X509Certificate accepts DER too, which servers don't.
  const certificate = cert.includes('-----BEGIN') ? attempt(() => new X509Certificate(cert)) : undefined
  const privateKey = attempt(() => createPrivateKey(key))
  const faults: KeyPairFault[] = []
  if (!certificate)
    faults.push({ file: 'cert', message: 'names a file without a certificate: it must be PEM' })
  if (!privateKey) {
    const isEncrypted = key.includes('ENCRYPTED')
    faults.push({
      file: 'key',
      message: isEncrypted ? encrypted : 'names a file without a private key: it must be PEM',
    })
  }
  if (!certificate || !privateKey) return faults
  if (!certificate.checkPrivateKey(privateKey))
    return [{ file: 'key', message: 'names a key that does not belong to the certificate' }]
  // OpenSSL checks the rest: the chain, and keys that are too short.
  if (attempt(() => createSecureContext({ cert, key }))) return []
  return [
    { file: 'cert', message: 'names a certificate that TLS can not use: its key or its chain is at fault' },
  ]
}

/** When a certificate expires, in ISO 8601. @param cert PEM, known to be one */
export function expiryOf(cert: string): string {
  return new X509Certificate(cert).validToDate.toISOString()
}

/** Why clients will not accept a certificate at this time. @param cert PEM, known to be one */
export function validityDoubt(cert: string, now: number): string | undefined {
  const { validFromDate, validToDate } = new X509Certificate(cert)
  if (now > validToDate.getTime()) return `expired at ${validToDate.toISOString()}`
  if (now < validFromDate.getTime()) return `is not valid before ${validFromDate.toISOString()}`
  return undefined
}

/** The fault of a file of certificates. */
export function certificatesFault(text: string): string | undefined {
  const found = certificates(text)
  if (found.length > 0 && found.every((one) => attempt(() => new X509Certificate(one)))) return undefined
  return 'names a file without certificates: it must be PEM (-----BEGIN CERTIFICATE-----)'
}

export function pemCertificates(text: string): string {
  if (!certificatesFault(text)) return text
  throw new TypeError(
    'must be PEM certificates (-----BEGIN CERTIFICATE-----) or the path of a file that holds them',
  )
}

export function pemPrivateKey(text: string): string {
  if (attempt(() => createPrivateKey(text))) return text
  throw new TypeError(
    'must be a PEM private key without a passphrase (-----BEGIN PRIVATE KEY-----) or the path of a file that holds it',
  )
}

/** @param certificate PEM, known to be one, as is `key` */
export function isPair(certificate: string, key: string): boolean {
  return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
}

/** The certificates of a PEM text, one by one. */
export function certificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

/** Why a client can't sign with the key in a file (a JWK, a JWKS with a private key, or PEM). Holds nothing of the key. */
export function signingKeyFault(file: string): string | undefined {
  return keyFault(file, 'enc', (key) =>
    canSign(key)
      ? undefined
      : 'names a key that can not sign: use RSA of at least 2048 bits, EC P-256, P-384, P-521 or Ed25519',
  )
}

/** The same for decryption. @see https://www.rfc-editor.org/rfc/rfc7518#section-4.1 */
export function decryptionKeyFault(file: string): string | undefined {
  return keyFault(file, 'sig', (key) =>
    canDecrypt(key)
      ? undefined
      : 'names a key that can not decrypt: use RSA of at least 2048 bits, EC P-256, P-384, P-521 or X25519',
  )
}

/** @param otherUse `use` of keys in a JWKS that are for something else */
function keyFault(
  file: string,
  otherUse: string,
  faultOf: (key: KeyObject) => string | undefined,
): string | undefined {
  const text = file.trim()
  if (/ENCRYPTED/.test(text) && text.startsWith('-----')) return encrypted
  const json = text.startsWith('{') ? attempt(() => JSON.parse(text)) : undefined
  if (text.startsWith('{') && !json) return 'names a file that is not valid JSON'

  const jwk: JsonWebKey = Array.isArray(json?.keys)
    ? json.keys.find((one: JsonWebKey | null) => one?.d !== undefined && one['use'] !== otherUse)
    : json
  const key = attempt(() => createPrivateKey(json ? { key: jwk, format: 'jwk' } : text))
  return key
    ? faultOf(key)
    : 'names a file without a private key: it must be a JWK, a JWKS or PEM, with the private part'
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

function canDecrypt(key: KeyObject): boolean {
  const { asymmetricKeyType: type } = key
  return type === 'x25519' || (type !== 'ed25519' && canSign(key))
}

/** Messages of OpenSSL do not help, and those of the JSON parser may quote the key. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
