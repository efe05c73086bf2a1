import type { RedisClient } from './redis-client.ts'
import { isPassing } from './redis-commands.ts'

/**
 * What this process has written lately. A replica that is promoted may lack it, though it was acknowledged: the old
 * master goes on answering for a while, or had not yet passed on what it was told last.
 */
export interface RecentWrites {
  /**
   * @param key of Redis, by which a later write replaces what is remembered of an earlier one
   * @param again writes it where it is lacking. It must do no harm where it is not, nor where others have written since
   */
  note(key: string, again: PutBack): void
  /** No connection any more: what was written until now is remembered until it was put back. */
  lost(): void
  /** Puts back what belongs to keys that are now on another master. Resolves when all has been tried. */
  putBack(redis: RedisClient, isMoved?: (key: string) => boolean): Promise<void>
}

/** @param agedMs how long ago it was written */
export type PutBack = (redis: RedisClient, agedMs: number) => Promise<unknown>

interface Write {
  at: number
  again: PutBack
}

/** Longer than an old master goes on answering after a failover, some 12 s. */
const REMEMBERED_MS = 20_000
/**
 * Never put back later than this, however long an outage was: for twice as long it is remembered that a session has
 * ended, so that none is brought back to life.
 */
export const PUT_BACK_WITHIN_MS = 60_000
/** Some 25 MB of sealed records. */
const MAX_REMEMBERED = 10_000

export function createRecentWrites(now = () => performance.now()): RecentWrites {
  /** The oldest first. */
  const writes = new Map<string, Write>()
  let lostAt: number | undefined

  return {
    note(key, again) {
      writes.delete(key)
      writes.set(key, { at: now(), again })
      if (lostAt === undefined) forgetBefore(now() - REMEMBERED_MS)
      for (const [oldest] of writes) {
        if (writes.size <= MAX_REMEMBERED) break
        writes.delete(oldest)
      }
    },

    lost() {
      lostAt ??= now()
    },

    async putBack(redis, isMoved = () => true) {
      // All that is still remembered: a process that was frozen learns late that its connection was lost.
      forgetBefore(now() - PUT_BACK_WITHIN_MS)
      const moved = [...writes].filter(([key]) => isMoved(key))
      const results = await Promise.allSettled(moved.map(([, { at, again }]) => again(redis, now() - at)))
      // What failed is tried again when the connection, which must have been lost, is back. What Redis refuses is not.
      if (!results.some((result) => result.status === 'rejected' && isPassing(result.reason)))
        lostAt = undefined
    },
  }

  function forgetBefore(time: number): void {
    for (const [key, { at }] of writes) {
      if (at >= time) break
      writes.delete(key)
    }
  }
}
