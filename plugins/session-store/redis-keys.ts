import { randomBytes } from 'node:crypto'

// Braces are Redis Cluster's hash tag: all keys of one session live in one slot.
export const recordKey = (id: string) => `bff:{${id}}:record`
export const sessionKeys = (id: string): [record: string, ended: string] => [
  recordKey(id),
  `bff:{${id}}:ended`,
]
export const lockKeys = (id: string): [lock: string, failures: string] => [
  `bff:{${id}}:lock`,
  `bff:{${id}}:failures`,
]
export const indexKey = (name: string) => `bff:index:${name}`
export const claimKey = (name: string) => `bff:claim:${name}`

/**
 * Written to see whether Redis takes writes. Each is in another part of a Cluster, which is ready while it can write
 * anywhere: otherwise the failover of one shard would take every gateway out of service, for all other shards' sessions
 * too.
 */
export const pingKeys = ['bff:ping:{0}', 'bff:ping:{1}', 'bff:ping:{2}', 'bff:ping:{3}']

/** Redis takes whole milliseconds only, and 0 would delete. Nor may anybody be told to wait for no time at all. */
export function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms))
}

/** By which a write recognises its own earlier try. */
export function randomToken(): string {
  return randomBytes(16).toString('base64url')
}
