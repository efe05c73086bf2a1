import { timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { unseal } from './sealing.ts'
import type { SessionRecord } from './session-record.ts'

/** How many sessions' records are remembered, some 5 KB each. */
const maxSessions = 2000

/**
 * Unseals as {@link unseal} does, and remembers for each session what came of it: a session's requests mostly find
 * the same sealed record again. Whoever asks must still bring the record from the store and the key from the cookie.
 */
export function createLatestUnsealer(): typeof unseal<SessionRecord> {
  const latest = new LRUCache<string, { sealed: string; key: Buffer; record: SessionRecord }>({
    max: maxSessions,
  })

  return (sealed, key, id) => {
    const known = latest.get(id)
    if (known?.sealed === sealed && known.key.length === key.length && timingSafeEqual(known.key, key)) {
      return known.record
    }
    const record = unseal(sealed, key, id)
    if (record) latest.set(id, { sealed, key, record })
    return record
  }
}
