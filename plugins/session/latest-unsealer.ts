import { timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { SealedRecord } from '../session-store/store.ts'
import { unseal } from './sealing.ts'
import { type SessionRecord, sessionRecord } from './session-record.ts'

/** Number of cached records, some 5 KB each. */
const maxSessions = 2000

interface Unsealed {
  /** A copy in unpooled memory. */
  key: Buffer
  record: SessionRecord
}

/** Covers format, nonce and tag, which are unique per record. In format 1 these are base64 text and so longer. */
const fingerprintBytes = 40

/**
 * Unseals and validates records, and caches the latest result of each session: most requests read the same sealed
 * record again. The caller still needs the record from the store and the key from the cookie.
 */
export function createLatestUnsealer() {
  const latest = new LRUCache<string, Unsealed & { version: number; fingerprint: string }>({
    max: maxSessions,
  })

  return ({ sealed, version }: SealedRecord, key: Buffer, id: string): Unsealed | undefined => {
    // Not the sealed record itself: it may be a slice of a larger buffer with Redis's whole reply.
    const fingerprint = sealed.toString('latin1', 0, fingerprintBytes)
    const known = latest.get(id)
    if (known?.fingerprint === fingerprint && known.version === version && isSame(known.key, key))
      return known
    const record = sessionRecord(unseal(sealed, { key, id, version }))
    if (!record) return undefined
    const unsealed = { key: copyOf(key), record, version, fingerprint }
    latest.set(id, unsealed)
    return unsealed
  }
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Unpooled: a small pooled buffer would keep a 64 KiB pool alive. */
function copyOf(key: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(key.length)
  key.copy(copy)
  return copy
}
