import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Lock, NewRecord, SessionStore } from '../../plugins/session-store/store.ts'

export interface StoreUnderTest {
  store: SessionStore
  /** On the same data: another gateway's. */
  other: SessionStore
  /** Lets time pass for all whose name contains the one that the set-up was given. */
  advance(ms: number): Promise<void>
  /**
   * The store loses this lock, and all are connected anew. Does nothing to a store that can't lose what it was told as
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

/** What no store looks into. */
export function sealedAs(text: string): Buffer {
  return Buffer.from(text)
}

export async function acquire(store: SessionStore, id: string, ttlMs = HOUR): Promise<Lock> {
  const outcome = await store.lock(id, ttlMs)
  assert.ok(outcome.outcome === 'acquired', outcome.outcome)
  return outcome.lock
}

export async function assertHeard(
  store: SessionStore,
  id: string,
  act: () => Promise<unknown>,
): Promise<void> {
  const signal = AbortSignal.timeout(5_000)
  const heard = store.changed(id, signal)
  await act()
  await heard
  assert.equal(signal.aborted, false, 'nothing was heard')
  assert.equal(getEventListeners(signal, 'abort').length, 0, 'a listener was left behind')
}

/** Changes are a hint: a gateway that has only just connected may not listen yet. */
export async function untilHeard(from: SessionStore, to: SessionStore, id: string): Promise<void> {
  let heard = false
  void to.changed(`${id}-probe`, AbortSignal.timeout(5_000)).then(() => {
    heard = true
  })
  while (!heard) {
    await create(from, `${id}-probe`)
    await from.destroy(`${id}-probe`)
    await turn()
  }
}

/** Redis's time goes on while a test runs. */
export function assertAbout(actual: number | undefined, expected: number): void {
  assert.ok(
    actual !== undefined && actual > expected - 30_000 && actual <= expected,
    `${actual} ~ ${expected}`,
  )
}
