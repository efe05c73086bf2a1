import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { getEventListeners } from 'node:events'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { ListedSession, Lock, NewRecord, SessionStore } from '../../plugins/session-store/store.ts'
import { giveUpMs } from '../support/until.ts'

export interface StoreUnderTest {
  store: SessionStore
  /** Another gateway's store, on the same data. */
  other: SessionStore
  /** Lets time pass for all keys that contain the name that the set-up got. */
  advance(ms: number): Promise<void>
  /**
   * The store loses this lock, and all clients reconnect. Does nothing to a store that can't lose data as
   * long as its clients live.
   */
  failOver(id: string): Promise<void>
}

export type SetUpStore = (t: TestContext, name: string) => Promise<StoreUnderTest>

/** One test, with a store of its own and an identifier that no other test has. */
export type PromiseOf = (
  title: string,
  check: (world: StoreUnderTest & { id: string }) => Promise<void>,
) => void

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE

export function create(
  store: SessionStore,
  id: string,
  { sealed = sealedAs('sealed'), ttlMs = HOUR, ...others }: Partial<NewRecord> = {},
): Promise<void> {
  return store.create(id, { sealed, ttlMs, indexes: [], ...others })
}

export function idsOf(sessions: ListedSession[]): string[] {
  return sessions.map(({ id }) => id)
}

/** A sealed record, which stores do not read. */
export function sealedAs(text: string): Buffer {
  return Buffer.from(text)
}

export async function acquire(store: SessionStore, id: string, ttlMs = HOUR): Promise<Lock> {
  const outcome = await store.lock(id, ttlMs)
  assert.ok(outcome.outcome === 'acquired', outcome.outcome)
  return outcome.lock
}

export async function assertNotified(
  store: SessionStore,
  id: string,
  act: () => Promise<unknown>,
): Promise<void> {
  const signal = AbortSignal.timeout(giveUpMs)
  const notified = store.changed(id, signal)
  await act()
  await notified
  assert.equal(signal.aborted, false, 'no notification arrived')
  assert.equal(getEventListeners(signal, 'abort').length, 0, 'a listener was left behind')
}

/** Notifications are hints: a gateway that has just connected may not be subscribed yet. */
export async function untilNotified(from: SessionStore, to: SessionStore, id: string): Promise<void> {
  const probe = `${id}-${randomUUID()}`
  const signal = AbortSignal.timeout(giveUpMs)
  let notified = false
  void to.changed(probe, signal).then(() => {
    notified = true
  })
  await create(from, probe)
  for (let version = 1; !notified; version++) {
    await from.replace(probe, sealedAs('probe'), version)
    await turn()
  }
  assert.equal(signal.aborted, false, 'no notification')
}

/** Approximately, as Redis's clock runs during the test. */
export function assertAbout(actual: number | undefined, expected: number): void {
  assert.ok(
    actual !== undefined && actual > expected - 30_000 && actual <= expected,
    `${actual} ~ ${expected}`,
  )
}
