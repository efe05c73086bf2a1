import type { RedisClient } from './redis-client.ts'
import { isPassing, withoutArguments } from './redis-commands.ts'
import type { PutBackTry } from './redis-state.ts'

/**
 * Recent writes of this process. A promoted replica may lack them although they were acknowledged: the old master
 * continues to answer for a while, or had not yet replicated its last writes.
 */
export interface RecentWrites {
  /**
   * @param key the Redis key. A later write to it replaces the noted one
   * @param again repeats the write if it is missing. Must do no harm if it is not, or if others have written since
   */
  note(key: string, again: PutBack): void
  /** The connection was lost: all writes until now are kept until they were put back. */
  lost(): void
  /** Repeats the writes to keys that are now on another master. Resolves when all were tried. */
  putBack(redis: RedisClient, isMoved?: (key: string) => boolean): Promise<void>
}

/** @param agedMs time since the write, in milliseconds */
export type PutBack = (redis: RedisClient, agedMs: number) => Promise<unknown>

interface Write {
  at: number
  again: PutBack
}

/** Longer than an old master continues to answer after a failover, which is some 12 s. */
const REMEMBERED_MS = 20_000
/**
 * Writes older than this are never put back, however long the outage. The end of a session is remembered for twice as
 * long, so that no ended session is restored.
 */
export const PUT_BACK_WITHIN_MS = 60_000
/** Maximum number of noted writes: some 25 MB of sealed records. */
const MAX_REMEMBERED = 10_000

export interface RecentWritesOptions {
  /** Monotonic time in milliseconds. */
  now?: () => number
  /** Called after each attempt to put writes back. */
  onTried?: (tries: PutBackTry[]) => void
}

export function createRecentWrites({
  now = () => performance.now(),
  onTried = () => {},
}: RecentWritesOptions = {}): RecentWrites {
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
      // All noted writes: a process that was frozen notices late that its connection was lost.
      forgetBefore(now() - PUT_BACK_WITHIN_MS)
      const moved = [...writes].filter(([key]) => isMoved(key))
      const tries = await Promise.all(moved.map(([, write]) => tryAgain(redis, write)))
      // A failed write is retried after the next reconnect (the connection was lost); one that Redis refuses is not.
      if (!tries.some(({ outcome }) => outcome === 'unavailable')) lostAt = undefined
      onTried(tries)
    },
  }

  async function tryAgain(redis: RedisClient, { at, again }: Write): Promise<PutBackTry> {
    const startedAt = now()
    const tried = (outcome: PutBackTry['outcome'], error?: unknown) => ({
      outcome,
      durationMs: now() - startedAt,
      error: withoutArguments(error),
    })
    return again(redis, startedAt - at).then(
      () => tried('ok'),
      (error) => tried(isPassing(error) ? 'unavailable' : 'error', error),
    )
  }

  function forgetBefore(time: number): void {
    for (const [key, { at }] of writes) {
      if (at >= time) break
      writes.delete(key)
    }
  }
}
