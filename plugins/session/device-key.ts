import { createPublicKey, type KeyObject } from 'node:crypto'
import { isNumber, isObject, isString } from '../../lib/type-guards.ts'

/** The public key of a browser's device, as a session's record and a proof cookie keep it. */
export type DeviceKey = { alg: 'ES256'; x: string; y: string } | { alg: 'RS256'; n: string; e: string }

/** The device that a session is bound to. */
export interface BoundDevice {
  key: DeviceKey
  /** Milliseconds since the epoch. */
  boundAt: number
}

export const deviceAlgorithms = ['ES256', 'RS256'] as const

/** Sizes of an RSA modulus in bytes: 2048 to 4096 bits. */
const modulusBytes = { least: 256, most: 512 }

/** Members of a private key, and of a symmetric one. */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/**
 * The public key of a JWK, if it is of the kind that its algorithm needs.
 * @returns undefined for any other algorithm, kind or size, and for a private key
 * @see https://www.rfc-editor.org/rfc/rfc7518#section-6
 */
export function deviceKeyOf(alg: unknown, jwk: unknown): DeviceKey | undefined {
  if (!isObject(jwk) || secretMembers.some((name) => name in jwk)) return undefined
  const { kty, crv, x, y, n, e } = jwk
  if (alg === 'ES256' && kty === 'EC' && crv === 'P-256') return usable({ alg, x, y })
  if (alg === 'RS256' && kty === 'RSA') return usable({ alg, n, e })
  return undefined
}

/** Checks what an older or newer gateway may have stored. */
export function isBoundDevice(value: unknown): value is BoundDevice {
  return isObject(value) && isNumber(value['boundAt']) && isDeviceKey(value['key'])
}

export function isDeviceKey(value: unknown): value is DeviceKey {
  if (!isObject(value)) return false
  const { alg, x, y, n, e } = value
  return alg === 'ES256' ? [x, y].every(isString) : alg === 'RS256' && [n, e].every(isString)
}

/** @throws TypeError if the key is invalid, for example a point that is not on the curve */
export function publicKeyOf(key: DeviceKey): KeyObject {
  return createPublicKey({ key: publicJwk(key), format: 'jwk' })
}

function publicJwk(key: DeviceKey) {
  return key.alg === 'ES256'
    ? { kty: 'EC', crv: 'P-256', x: key.x, y: key.y }
    : { kty: 'RSA', n: key.n, e: key.e }
}

function usable(key: Record<string, unknown>): DeviceKey | undefined {
  if (!isDeviceKey(key)) return undefined
  if (key.alg === 'ES256') return [key.x, key.y].every((part) => bytesOf(part) === 32) ? key : undefined
  const { least, most } = modulusBytes
  const modulus = bytesOf(key.n)
  // The exponent that every browser uses. A large one would make each verification slow.
  return modulus >= least && modulus <= most && key.e === 'AQAB' ? key : undefined
}

/** @returns 0 for text that is not base64url */
function bytesOf(text: string): number {
  return /^[\w-]+$/.test(text) ? Buffer.from(text, 'base64url').length : 0
}
