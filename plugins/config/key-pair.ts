import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'

/** A certificate with its chain, and its private key. PEM. */
export interface KeyPair {
  cert: string
  key: string
}

/** Which of the two files is at fault, and why, in words that follow its name and hold nothing of the key. */
export interface KeyPairFault {
  file: keyof KeyPair
  message: string
}

/** What would keep a server from using a certificate with a key. */
export function keyPairFaults({ cert, key }: KeyPair): KeyPairFault[] {
  const certificate = parsed(() => new X509Certificate(pemOnly(cert)))
  const privateKey = parsed(() => createPrivateKey(key))
  const faults: KeyPairFault[] = []
  if (!certificate)
    faults.push({ file: 'cert', message: 'names a file without a certificate: it must be PEM' })
  if (!privateKey) faults.push({ file: 'key', message: keyFault(key) })
  return certificate && privateKey ? together({ cert, key }, certificate, privateKey) : faults
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

function together(pair: KeyPair, certificate: X509Certificate, key: KeyObject): KeyPairFault[] {
  if (!certificate.checkPrivateKey(key)) {
    return [{ file: 'key', message: 'names a key that does not belong to the certificate' }]
  }
  // OpenSSL has the last word: on the rest of the chain, and on keys that are too short.
  if (parsed(() => createSecureContext(pair))) return []
  return [
    { file: 'cert', message: 'names a certificate that TLS can not use: its key or its chain is at fault' },
  ]
}

/** X509Certificate takes DER as well, which servers don't. */
function pemOnly(text: string): string {
  if (text.includes('-----BEGIN')) return text
  throw new TypeError('No PEM')
}

function keyFault(text: string): string {
  return text.includes('ENCRYPTED')
    ? 'names a key that is encrypted: decrypt it, as in openssl pkey -in key.pem -out plain.pem'
    : 'names a file without a private key: it must be PEM'
}

/** OpenSSL's messages say nothing that helps. */
function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
