import type { Result } from 'ioredis'
import { CHANGED_CHANNEL } from './redis-keys.ts'
import { lockScripts } from './redis-lock-scripts.ts'

/**
 * Digits of the creation time in a record's field `created`. The session's profile follows them: a field of its own would
 * take 100 bytes more of each session.
 */
export const CREATED_LENGTH = 16

/** In microseconds, without a fraction or exponent. */
const now = `
      local time = redis.call('TIME')
      local now = string.format('%0${CREATED_LENGTH}.0f', time[1] * 1000000 + time[2])`

/** Removes expired entries of an index. An entry's score is its expiry time. */
const pruned = `
      local time = redis.call('TIME')
      local now = time[1] * 1000 + math.floor(time[2] / 1000)
      redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)`

/** Makes an index expire with its last entry. */
const expiring = `
      local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
      if last[2] then redis.call('PEXPIRE', KEYS[1], tonumber(last[2]) - now) end`

/**
 * Remembers why a session has ended for as long as it would have lived: until then a cookie without a session must have
 * another reason than its timeout.
 */
const rememberingReason = (reason: string, atLeastMs: string) => `
      if ${reason} ~= '' then
        local leftMs = math.max(redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[3]), tonumber(${atLeastMs}))
        redis.call('SET', KEYS[3], ${reason}, 'PX', leftMs)
      end`

/**
 * Atomic operations. Each script uses keys of one slot only, so that it works on a Cluster: those of one session, which
 * share a hash tag, or one index. The comment above each lists keys · arguments → result.
 * Every command used must be in the permissions of docs/redis.md.
 * PUBLISH uses `pcall`: without that permission the write still succeeds, and others notice it by polling.
 */
export const redisScripts = {
  /**
   * record, ended · sealed, ttlMs, indexes, profile or ''. Creation time in microseconds, so that it is unique. Does
   * nothing if the record exists: an earlier try succeeded, and the session may have been renewed or ended since.
   */
  bffCreate: {
    numberOfKeys: 2,
    lua: `
      if redis.call('HGET', KEYS[1], 'version') or redis.call('HGET', KEYS[2], 'by') then return end
      ${now}
      redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'version', 1, 'indexes', ARGV[3], 'created', now .. ARGV[4])
      redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  },

  /** record · sealed, ttlMs. Overwrites. */
  bffPut: {
    numberOfKeys: 1,
    lua: `
      redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'version', 1, 'indexes', '[]')
      redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  },

  /**
   * record, ended → sealed, version, ttlMs. An empty array if the session is known to have ended; null if there is no
   * trace of it.
   */
  bffRead: {
    numberOfKeys: 2,
    lua: `
      local record = redis.call('HMGET', KEYS[1], 'sealed', 'version')
      if not record[1] then return redis.call('HGET', KEYS[2], 'by') and {} end
      return { record[1], tonumber(record[2]), redis.call('PTTL', KEYS[1]) }`,
  },

  /**
   * record, ended · id, sealed, derivedFrom → the version it has now, 0 for a conflict, -1 if there is no trace of
   * it, -2 if it is known to have ended; ttlMs, indexes. Also over a version older than the one it derives from: that
   * one was lost in a failover, and the gateway that wrote it will find a newer version when it puts it back.
   */
  bffReplace: {
    numberOfKeys: 2,
    lua: `
      local record = redis.call('HMGET', KEYS[1], 'version', 'sealed')
      if not record[1] then return { redis.call('HGET', KEYS[2], 'by') and -2 or -1 } end
      local version, derivedFrom = tonumber(record[1]), tonumber(ARGV[3])
      if version <= derivedFrom then
        redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'version', derivedFrom + 1)
        redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1])
        return { derivedFrom + 1, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[1], 'indexes') }
      end
      -- The very same write got through before, but its answer was lost.
      if version == derivedFrom + 1 and record[2] == ARGV[2] then
        return { version, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[1], 'indexes') }
      end
      return { 0 }`,
  },

  /**
   * record, ended · id, sealed, version, ttlMs, indexes, whether it may be created, profile or ''. Puts back a write
   * that a failover has lost: only over an older version, and never for a session that has ended.
   */
  bffPutBack: {
    numberOfKeys: 2,
    lua: `
      if redis.call('HGET', KEYS[2], 'by') then return end
      local version = redis.call('HGET', KEYS[1], 'version')
      if version and tonumber(version) >= tonumber(ARGV[3]) then return end
      if not version and ARGV[6] == '' then return end
      redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'version', ARGV[3], 'indexes', ARGV[5])
      if not version then
        ${now}
        redis.call('HSET', KEYS[1], 'created', now .. ARGV[7])
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
      end
      redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1])`,
  },

  /**
   * record, ended, end-reason · id, how long to remember the end, reason. Puts back that a session has ended, whatever
   * its version.
   */
  bffEndAgain: {
    numberOfKeys: 3,
    lua: `
      ${rememberingReason('ARGV[3]', 'ARGV[2]')}
      if not redis.call('HGET', KEYS[2], 'by') then redis.call('HSET', KEYS[2], 'by', '') end
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
      if redis.call('DEL', KEYS[1]) == 1 then redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1]) end`,
  },

  /**
   * record, ended, end-reason · id, the only version to destroy or '', caller, how long to remember the end, reason →
   * sealed, version, indexes. The same caller gets them again if it repeats the call after a lost reply. An empty array if
   * another caller has ended it or the version differs; null if there is no trace of it.
   */
  bffDestroy: {
    numberOfKeys: 3,
    lua: `
      local record = redis.call('HMGET', KEYS[1], 'sealed', 'version', 'indexes')
      if not record[1] then
        local ended = redis.call('HMGET', KEYS[2], 'sealed', 'version', 'indexes', 'by')
        if ended[4] == ARGV[3] then return { ended[1], tonumber(ended[2]), ended[3] } end
        return ended[4] and {}
      end
      if ARGV[2] ~= '' and ARGV[2] ~= record[2] then return {} end
      ${rememberingReason('ARGV[5]', 'ARGV[4]')}
      redis.call('DEL', KEYS[1])
      redis.call('HSET', KEYS[2], 'sealed', record[1], 'version', record[2], 'indexes', record[3], 'by', ARGV[3])
      redis.call('PEXPIRE', KEYS[2], ARGV[4])
      redis.pcall('PUBLISH', '${CHANGED_CHANNEL}', ARGV[1])
      return { record[1], tonumber(record[2]), record[3] }`,
  },

  /** record · expected profile or '', new profile → the profile there is, if it is another one. Not if the session is gone. */
  bffUpdateProfile: {
    numberOfKeys: 1,
    lua: `
      local found = redis.call('HMGET', KEYS[1], 'version', 'created')
      if not found[1] then return end
      local created = found[2] or string.rep('0', ${CREATED_LENGTH})
      local profile = string.sub(created, ${CREATED_LENGTH + 1})
      if profile ~= ARGV[1] then return profile end
      redis.call('HSET', KEYS[1], 'created', string.sub(created, 1, ${CREATED_LENGTH}) .. ARGV[2])`,
  },

  /** index · id, ttlMs. Uses Redis's clock, so that the gateways' clocks don't matter. */
  bffEnterIndex: {
    numberOfKeys: 1,
    lua: `
      ${pruned}
      redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
      ${expiring}`,
  },

  /** index · id */
  bffLeaveIndex: {
    numberOfKeys: 1,
    lua: `
      ${pruned}
      redis.call('ZREM', KEYS[1], ARGV[1])
      ${expiring}`,
  },

  ...lockScripts,
}

type Session = [record: string, ended: string]
type Ended = [...Session, endReason: string]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    bffCreate(
      ...args: [...Session, sealed: Buffer, ttlMs: number, indexes: string, profile: Buffer | '']
    ): Result<unknown, Context>
    bffPut(record: string, sealed: Buffer, ttlMs: number): Result<unknown, Context>
    bffReadBuffer(
      ...session: Session
    ): Result<[] | [sealed: Buffer, version: number, ttlMs: number] | null, Context>
    bffReplace(
      ...args: [...Session, id: string, sealed: Buffer, derivedFrom: number]
    ): Result<[version: number, ttlMs: number, indexes: string], Context>
    bffPutBack(
      ...args: [
        ...Session,
        id: string,
        sealed: Buffer,
        version: number,
        ttlMs: number,
        indexes: string,
        mayCreate: '1' | '',
        profile: Buffer | '',
      ]
    ): Result<unknown, Context>
    bffEndAgain(...args: [...Ended, id: string, rememberMs: number, reason: string]): Result<unknown, Context>
    bffDestroyBuffer(
      ...args: [
        ...Ended,
        id: string,
        onlyVersion: number | '',
        by: string,
        rememberMs: number,
        reason: string,
      ]
    ): Result<[] | [sealed: Buffer, version: number, indexes: Buffer] | null, Context>
    bffUpdateProfileBuffer(
      record: string,
      expected: Buffer | '',
      profile: Buffer,
    ): Result<Buffer | null, Context>
    bffEnterIndex(index: string, id: string, ttlMs: number): Result<unknown, Context>
    bffLeaveIndex(index: string, id: string): Result<unknown, Context>
  }
}
