import type { Result } from 'ioredis'
import { CHANGED_CHANNEL } from './redis-keys.ts'

/** Value of a lock during a back-off, in place of its owner. */
const BACKING_OFF = 'backing-off'

/** The scripts of locks and markers. See `redisScripts` for their rules. */
export const lockScripts = {
  /** lock, failures · owner, ttlMs → outcome, how many failures or how many milliseconds are left */
  bffLock: {
    numberOfKeys: 2,
    lua: `
      local holder = redis.call('GET', KEYS[1])
      -- Held by this very owner: the command was sent twice, or the lock is to last longer.
      if not holder or holder == ARGV[1] then
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return { 'acquired', tonumber(redis.call('GET', KEYS[2]) or 0) }
      end
      local outcome = holder == '${BACKING_OFF}' and 'backing-off' or 'held'
      return { outcome, redis.call('PTTL', KEYS[1]) }`,
  },

  /** marker · owner, ttlMs → 1 for its owner, now or by an earlier try */
  bffAddMarker: {
    numberOfKeys: 1,
    lua: `
      if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
      return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0`,
  },

  /** lock, failures · id, owner */
  bffRelease: {
    numberOfKeys: 2,
    lua: `
      if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
      redis.call('DEL', KEYS[1], KEYS[2])
      redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1])`,
  },

  /** lock, failures · id, owner, back-off and how long to remember the failure, in milliseconds */
  bffBackOff: {
    numberOfKeys: 2,
    lua: `
      if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
      redis.call('SET', KEYS[1], '${BACKING_OFF}', 'PX', ARGV[3])
      redis.call('INCR', KEYS[2])
      redis.call('PEXPIRE', KEYS[2], ARGV[4])
      redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1])`,
  },
}

type Locks = [lock: string, failures: string]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    bffLock(
      ...args: [...Locks, owner: string, ttlMs: number]
    ): Result<['acquired' | 'held' | 'backing-off', number], Context>
    bffAddMarker(marker: string, owner: string, ttlMs: number): Result<0 | 1, Context>
    bffRelease(...args: [...Locks, id: string, owner: string]): Result<unknown, Context>
    bffBackOff(
      ...args: [...Locks, id: string, owner: string, ms: number, rememberMs: number]
    ): Result<unknown, Context>
  }
}
