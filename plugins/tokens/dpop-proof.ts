import { createPrivateKey, hash, type KeyObject, randomUUID, sign } from 'node:crypto'
import { type DpopAlgorithm, type DpopKey, publicKey } from '../issuer/dpop/key.ts'

export interface ProofContent {
  method: string
  /** Absolute, as it is sent. */
  url: string
  accessToken: string
  /** The server's, if it has sent one. */
  nonce: string | undefined
  /** Milliseconds since the epoch. */
  now: number
}

/**
 * A proof that a request is sent by the holder of the token's key. Valid for that request only.
 *
 * Signed synchronously (node:crypto): a warm request awaits nothing.
 * @see https://www.rfc-editor.org/rfc/rfc9449#section-4.2
 */
export function dpopProof(key: DpopKey, { method, url, accessToken, nonce, now }: ProofContent): string {
  const { header, privateKey, digest } = signerOf(key)
  const claims = {
    jti: randomUUID(),
    htm: method,
    htu: withoutQuery(url),
    iat: Math.floor(now / 1000),
    ath: hash('sha256', accessToken, 'base64url'),
    ...(nonce !== undefined && { nonce }),
  }
  const input = `${header}.${encoded(claims)}`
  const signature = sign(digest, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

interface Signer {
  /** Of each proof, encoded. */
  header: string
  privateKey: KeyObject
  /** Null: the algorithm includes it. */
  digest: string | null
}

const digests: Record<DpopAlgorithm, string | null> = {
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
  Ed25519: null,
  EdDSA: null,
}

/** Importing a key takes longer than signing. Sessions that are used often keep their record, and so their key. */
const signers = new WeakMap<DpopKey, Signer>()

function signerOf(key: DpopKey): Signer {
  const known = signers.get(key)
  if (known) return known
  const signer = {
    header: encoded({ typ: 'dpop+jwt', alg: key.alg, jwk: publicKey(key) }),
    privateKey: createPrivateKey({ key: { ...key }, format: 'jwk' }),
    digest: digests[key.alg],
  }
  signers.set(key, signer)
  return signer
}

function withoutQuery(url: string): string {
  return url.split(/[?#]/, 1)[0] ?? ''
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
