import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { type DeviceKey, deviceAlgorithms, deviceKeyOf, publicKeyOf } from '../device-key.ts'

/** Why it is refused, for the log. */
export class DeviceJwtError extends Error {}

/** The challenge of a JWT that is not yet verified; undefined if there is none. */
export function claimedChallenge(jwt: string): string | undefined {
  try {
    return decodeJwt(jwt).jti
  } catch {
    return undefined
  }
}

/**
 * Verifies the JWT with which a browser registers.
 * @returns the new key, which is in its header
 * @throws DeviceJwtError
 */
export async function verifyRegistration(jwt: string): Promise<DeviceKey> {
  const { alg, jwk } = headerOf(jwt)
  const key = deviceKeyOf(alg, jwk)
  if (!key) throw new DeviceJwtError('no usable key')
  await verifiedChallenge(jwt, key)
  return key
}

/**
 * Verifies the JWT with which a browser proves that it still has the session's key. A key in its header is ignored.
 * @returns the challenge
 * @throws DeviceJwtError
 */
export async function verifiedChallenge(jwt: string, key: DeviceKey): Promise<string> {
  try {
    const options = { algorithms: [key.alg], typ: 'dbsc+jwt' }
    const { payload } = await jwtVerify(jwt, publicKeyOf(key), options)
    if (typeof payload.jti === 'string') return payload.jti
  } catch (cause) {
    throw new DeviceJwtError('signature, type or algorithm', { cause })
  }
  throw new DeviceJwtError('no challenge')
}

function headerOf(jwt: string): Record<string, unknown> {
  try {
    return decodeProtectedHeader(jwt)
  } catch (cause) {
    throw new DeviceJwtError('no JWT', { cause })
  }
}

/** Value of the registration header's list of algorithms, in order of preference. */
export const offeredAlgorithms = `(${deviceAlgorithms.join(' ')})`
