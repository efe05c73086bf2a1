import { timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { SealedRecord } from '../session-store/store.ts'
import { unseal } from './sealing.ts'
import { type SessionRecord, sessionRecord } from './session-record.ts'

/** How many sessions' records are remembered, some 5 KB each. */
const maxSessions = 2000

interface Unsealed {
  /** In memory of its own. */
  key: Buffer
  record: SessionRecord
}

/** Format, nonce and tag, which no two records have in common. Longer by a few bytes, as one format is text. */
const fingerprintBytes = 40

/**
 * Unseals and checks records, and remembers for each session what came of it: a session's requests mostly find the
 * same sealed record again. Whoever asks must still bring the record from the store and the key from the cookie.
 */
export function createLatestUnsealer() {
  const latest = new LRUCache<string, Unsealed & { version: number; fingerprint: string }>({
    max: maxSessions,
  })

  return ({ sealed, version }: SealedRecord, key: Buffer, id: string): Unsealed | undefined => {
    // Not the sealed record itself, which is part of a larger buffer that Redis's answer came in.
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

/** A small buffer otherwise keeps the 64 KiB alive that Node took it from. */
function copyOf(key: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(key.length)
  key.copy(copy)
  return copy
}
