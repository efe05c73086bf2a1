import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { importJWK, type JWK } from 'jose'
import type { CryptoKey } from 'openid-client'
import type { ClientCredentials } from './method.ts'

/** The gateway's private key for client assertions and request objects. */
export interface SigningKey {
  key: CryptoKey
  /** What the JOSE header says about it: `alg`, and `kid` and `x5t#S256` if known. */
  header: { alg: string; kid?: string; 'x5t#S256'?: string }
}

/**
 * Reads the file of `OIDC_CLIENT_PRIVATE_KEY_FILE`: a JWK, a JWKS (its first private key for signing), or PEM, also
 * with the key's certificate. A certificate in the client certificate's file counts if it is the same key's.
 *
 * @param accepted algorithms that the issuer accepts, for a key without an `alg` of its own
 * @throws when it can't be read or holds no private key
 */
export async function readSigningKey(
  { clientPrivateKeyFile = '', clientCertFile }: ClientCredentials,
  accepted?: string[],
): Promise<SigningKey> {
  if (clientPrivateKeyFile === '')
    throw new TypeError(
      'The issuer demands what is signed with OIDC_CLIENT_PRIVATE_KEY_FILE, which is not set',
    )
  const text = await readFile(clientPrivateKeyFile, 'utf8')
  const jwk = text.trimStart().startsWith('{') ? fromJson(JSON.parse(text)) : fromPem(text)
  const alg = jwk.alg ?? defaultAlgorithm(jwk, Array.isArray(accepted) ? accepted : [])
  const key = await importJWK(jwk, alg)
  if (!('algorithm' in key)) throw noPrivateKey()
  const thumbprint =
    thumbprintOf(jwk) ??
    certificateThumbprint(text, jwk) ??
    (clientCertFile && certificateThumbprint(await readFile(clientCertFile, 'utf8'), jwk))
  return {
    key,
    header: {
      alg,
      ...(jwk.kid !== undefined && { kid: jwk.kid }),
      ...(thumbprint && { 'x5t#S256': thumbprint }),
    },
  }
}

function fromJson(json: JWK | { keys: JWK[] }): JWK {
  const jwk = 'keys' in json && Array.isArray(json.keys) ? json.keys.find(isForSigning) : json
  if (!jwk || !('d' in jwk)) throw noPrivateKey()
  return jwk
}

function isForSigning({ d, use }: JWK): boolean {
  return d !== undefined && use !== 'enc'
}

function fromPem(pem: string): JWK {
  return createPrivateKey(pem).export({ format: 'jwk' }) as JWK
}

function noPrivateKey(): TypeError {
  return new TypeError('OIDC_CLIENT_PRIVATE_KEY_FILE holds no private key')
}

/** The first that the issuer accepts, or else the most common one for this kind of key. */
function defaultAlgorithm(jwk: JWK, accepted: string[]): string {
  const [usual = '', ...others] = algorithmsOf(jwk)
  return [usual, ...others].find((algorithm) => accepted.includes(algorithm)) ?? usual
}

function algorithmsOf({ kty, crv }: JWK): string[] {
  if (kty === 'RSA') return ['RS256', 'PS256', 'RS384', 'PS384', 'RS512', 'PS512']
  if (kty === 'OKP') return ['Ed25519', 'EdDSA']
  return [crv === 'P-384' ? 'ES384' : crv === 'P-521' ? 'ES512' : 'ES256']
}

function thumbprintOf({ 'x5t#S256': thumbprint, x5c: [certificate] = [] }: JWK): string | undefined {
  return thumbprint ?? (certificate === undefined ? undefined : digest(Buffer.from(certificate, 'base64')))
}

/** Of the certificate that a PEM text begins with, if it is for this key. */
function certificateThumbprint(pem: string, jwk: JWK): string | undefined {
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) return undefined
  const [first = ''] = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/) ?? []
  const certificate = new X509Certificate(first)
  return certificate.checkPrivateKey(createPrivateKey({ key: jwk, format: 'jwk' }))
    ? digest(certificate.raw)
    : undefined
}

/** @see https://www.rfc-editor.org/rfc/rfc7515#section-4.1.8 */
function digest(certificate: Buffer): string {
  return createHash('sha256').update(certificate).digest('base64url')
}
