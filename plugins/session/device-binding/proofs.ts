import { LRUCache } from 'lru-cache'
import type { Clock } from '../../../lib/clock.ts'
import { isNumber, isString } from '../../../lib/type-guards.ts'
import { type DeviceKey, isDeviceKey } from '../device-key.ts'
import { createSealedValues } from './sealed-values.ts'
import { isCurrent } from './times.ts'

/** The content of a proof cookie: a device has shown that it has the session's key. */
export interface Proof {
  /** {@link Session.id} */
  session: string
  /** With it, a gateway can verify the device's next proof while the store is unavailable. */
  key: DeviceKey
  /** Milliseconds since the epoch. */
  issuedAt: number
  /** Issued while the store was unavailable. It can't be used to get another. */
  inOutage?: boolean
}

export interface Proofs {
  /** @returns the cookie's value */
  seal(proof: Omit<Proof, 'issuedAt'>): string
  /** Opens a cookie's value without waiting. Undefined if it is not one of ours, or has expired. */
  open(value: string | undefined): Proof | undefined
}

export interface ProofsOptions {
  /** The first seals, all open. */
  keys: Buffer[]
  clock: Clock
  lifetimeMs: number
}

/** Number of opened cookies that are remembered, some 500 bytes each. */
const maxRemembered = 5000

/** Tolerance for requests that were sent just before the cookie expired, in milliseconds. */
const arrivalMs = 5000

export function createProofs({ keys, clock, lifetimeMs }: ProofsOptions): Proofs {
  const sealed = createSealedValues(keys, 'device binding proof')
  // Browsers send the same cookie with each request.
  const opened = new LRUCache<string, Proof>({ max: maxRemembered })

  return {
    seal: (proof) => sealed.seal({ ...proof, issuedAt: clock.now() }),
    open(value) {
      if (!value) return undefined
      const proof = opened.get(value) ?? read(value)
      return proof && isCurrent(proof.issuedAt, lifetimeMs + arrivalMs, clock.now()) ? proof : undefined
    },
  }

  function read(value: string): Proof | undefined {
    const { session, key, issuedAt, inOutage } = sealed.open(value) ?? {}
    if (!isString(session) || !isDeviceKey(key) || !isNumber(issuedAt)) return undefined
    const proof = { session, key, issuedAt, inOutage: inOutage === true }
    opened.set(value, proof)
    return proof
  }
}
