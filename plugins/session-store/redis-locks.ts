import type { RedisClient } from './redis-client.ts'
import type { RedisCommands } from './redis-commands.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { RecentWrites, RedisMasters } from './redis-failover.ts'
import { lockKeys, randomToken, recordKey, wholeMs } from './redis-keys.ts'
import type { Reachability } from './redis-reachability.ts'
import type { Lock, SessionStore } from './store.ts'

export interface RedisLocksOptions {
  connection: Pick<RedisConnection, 'client'> & { reachability: Pick<Reachability, 'isReady'> }
  run: RedisCommands['run']
  writes: Pick<RecentWrites, 'note'>
  masters: RedisMasters
}

/** Consecutive failures are forgotten a minute after the last back-off has ended. */
const FAILURES_OUTLIVE_BACK_OFF_MS = 60_000

export function createRedisLocks({
  connection,
  run,
  writes,
  masters,
}: RedisLocksOptions): SessionStore['lock'] {
  return async function lock(id, ttlMs) {
    const owner = randomToken()
    const [outcome, number] = await takeLock(id, owner, ttlMs)
    switch (outcome) {
      case 'acquired':
        return { outcome, lock: lockOf(id, owner, number) }
      case 'recovering':
      case 'held':
        return { outcome, expiresInMs: wholeMs(number) }
      case 'backing-off':
        return { outcome, retryInMs: wholeMs(number) }
    }
  }

  async function takeLock(id: string, owner: string, ttlMs: number): Promise<LockAnswer> {
    if (!connection.reachability.isReady) await run((redis) => redis.ping())
    const before = masters.headStartMs(recordKey(id))
    if (before > 0) return ['recovering', before]
    const asked = run((redis) => redis.bffLock(...lockKeys(id), owner, wholeMs(ttlMs)))
    const answer: LockAnswer = await asked.catch((error) => {
      releaseAfterTimeout(id, owner)
      throw error
    })
    // The connection was lost, and the reply came over another one.
    const after = masters.headStartMs(recordKey(id))
    if (answer[0] !== 'acquired') return answer
    if (after <= 0) {
      noteLock(id, owner, ttlMs)
      return answer
    }
    releaseAfterTimeout(id, owner)
    return ['recovering', after]
  }

  /**
   * After a timeout: Redis may still process the lock command, although the caller has given up. A release queued
   * behind it undoes that, now or over the next connection.
   */
  function releaseAfterTimeout(id: string, owner: string): void {
    const release = (redis: RedisClient) => redis.bffRelease(...lockKeys(id), id, owner)
    // Under a separate key, so that it does not replace what is noted for another holder in this process.
    writes.note(`${lockKeys(id)[0]}:${owner}`, release)
    release(connection.client).catch(() => {})
  }

  function noteLock(id: string, owner: string, ttlMs: number): void {
    writes.note(lockKeys(id)[0], async (redis, agedMs) => {
      if (agedMs < ttlMs) await redis.bffLock(...lockKeys(id), owner, wholeMs(ttlMs - agedMs))
    })
  }

  function lockOf(id: string, owner: string, failures: number): Lock {
    let isReleased = false

    return {
      failures,

      // Noted before it is sent: if Redis does not answer in time, the next connection releases the lock instead of
      // taking it again.
      async release() {
        isReleased = true
        const release = (redis: RedisClient) => redis.bffRelease(...lockKeys(id), id, owner)
        writes.note(lockKeys(id)[0], release)
        await run(release)
      },

      async extend(ms) {
        // Not resent: an extension that arrives after the release would take the lock again.
        const extended = run((redis) => redis.bffLock(...lockKeys(id), owner, wholeMs(ms)), { once: true })
        const [outcome] = await extended
        if (outcome !== 'acquired') return false
        if (!isReleased) noteLock(id, owner, ms)
        return true
      },

      async backOff(ms) {
        isReleased = true
        const awayMs = wholeMs(ms)
        const rememberMs = awayMs + FAILURES_OUTLIVE_BACK_OFF_MS
        writes.note(lockKeys(id)[0], async (redis, agedMs) => {
          const leftMs = wholeMs(awayMs - agedMs)
          // The lock itself may be lost, too.
          await redis.bffLock(...lockKeys(id), owner, leftMs)
          await redis.bffBackOff(...lockKeys(id), id, owner, leftMs, rememberMs)
        })
        await run((redis) => redis.bffBackOff(...lockKeys(id), id, owner, awayMs, rememberMs))
      },
    }
  }
}

type LockAnswer = [outcome: 'acquired' | 'held' | 'backing-off' | 'recovering', number]
