import { randomBytes } from 'node:crypto'

// Braces are Redis Cluster's hash tag: all keys of one session are in one slot.
export const recordKey = (id: string) => `bff:{${id}}:record`
export const sessionKeys = (id: string): [record: string, ended: string] => [
  recordKey(id),
  `bff:{${id}}:ended`,
]
/** Why a session was ended, for longer than the rest of what is remembered of it. */
export const endReasonKey = (id: string) => `bff:{${id}}:end-reason`
export const lockKeys = (id: string): [lock: string, failures: string] => [
  `bff:{${id}}:lock`,
  `bff:{${id}}:failures`,
]
export const indexKey = (name: string) => `bff:index:${name}`
// Earlier releases, which may run at the same time, call a marker a claim.
export const markerKey = (name: string) => `bff:claim:${name}`

/** Pub/sub channel: receives the identifiers of changed sessions. */
export const CHANGED_CHANNEL = 'bff:changed'

/**
 * Keys to test whether Redis accepts writes, each in another part of a Cluster. The store is ready while any of them
 * can be written: otherwise the failover of one shard would make every gateway unready, also for sessions of other
 * shards.
 */
export const pingKeys = ['bff:ping:{0}', 'bff:ping:{1}', 'bff:ping:{2}', 'bff:ping:{3}']

/** Rounds up to at least 1: Redis accepts whole milliseconds only, 0 would delete, and a waiter must not wait 0 ms. */
export function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms))
}

/** Lets a write recognise its own earlier try. */
export function randomToken(): string {
  return randomBytes(16).toString('base64url')
}
