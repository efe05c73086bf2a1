import { generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { isObject, isString, isUnsetOr } from '../../../lib/type-guards.ts'

/**
 * Algorithms of proofs, the preferred one first. RSA keys are too large for the cookie of a login, and take long to
 * generate.
 */
const algorithms = ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'ES512'] as const

export type DpopAlgorithm = (typeof algorithms)[number]

/** The private key that tokens are bound to, as a JWK. Stored only sealed, with these tokens. */
export interface DpopKey {
  kty: string
  crv: string
  x: string
  y?: string
  d: string
  alg: DpopAlgorithm
}

export type DpopPublicKey = Pick<DpopKey, 'kty' | 'crv' | 'x' | 'y'>

/**
 * The algorithm for proofs at an issuer.
 *
 * @param supported `dpop_signing_alg_values_supported` of its metadata
 * @throws TypeError when the issuer accepts none that the gateway has
 */
export function dpopAlgorithm(supported: unknown): DpopAlgorithm {
  if (!Array.isArray(supported)) return algorithms[0]
  const chosen = algorithms.find((algorithm) => supported.includes(algorithm))
  if (chosen) return chosen
  throw new TypeError(
    `OIDC_DPOP: the issuer accepts proofs signed with ${supported.join(', ')} only, and the gateway signs with ${algorithms.join(', ')}`,
  )
}

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const

export function createDpopKey(alg: DpopAlgorithm): DpopKey {
  const { privateKey } = isEdwards(alg)
    ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('ec', { namedCurve: curves[alg] })
  return { ...(privateKey.export({ format: 'jwk' }) as Omit<DpopKey, 'alg'>), alg }
}

function isEdwards(alg: DpopAlgorithm): alg is 'Ed25519' | 'EdDSA' {
  return alg === 'Ed25519' || alg === 'EdDSA'
}

export function publicKey({ kty, crv, x, y }: DpopKey): DpopPublicKey {
  return { kty, crv, x, ...(y !== undefined && { y }) }
}

/** Identifies a key in requests and tokens. @see https://www.rfc-editor.org/rfc/rfc7638 */
export function thumbprint(key: DpopKey): Promise<string> {
  return calculateJwkThumbprint(publicKey(key))
}

/** Whether an unsealed value is a key. */
export function isDpopKey(value: unknown): value is DpopKey {
  if (!isObject(value)) return false
  const { kty, crv, x, y, d, alg } = value
  return (
    [kty, crv, x, d].every(isString) && isUnsetOr(isString, y) && algorithms.includes(alg as DpopAlgorithm)
  )
}
