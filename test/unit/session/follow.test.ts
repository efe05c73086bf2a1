import assert from 'node:assert/strict'
import { test } from 'node:test'
import { follow } from '../../../plugins/session/follow.ts'
import type { Session } from '../../../plugins/session/session.ts'
import { createChangeNotifier } from '../../../plugins/session-store/change-notifier.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

const hour = 3_600_000
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A session in a store that can lose notifications and fail. */
function setUp() {
  const clock = createFakeClock()
  const changes = createChangeNotifier()
  const abort = new AbortController()
  const record = { createdAt: clock.now() }
  let stored: Session | undefined = { id: 'a', version: 1, record, expiresAt: clock.now() + hour } as Session
  let reads = 0
  const store = {
    isDown: false,
    reason: undefined as string | undefined,
    changed: (id: string, signal: AbortSignal) => changes.wait(id, signal),
    endReason: async () => store.reason,
  }
  const versions: number[] = []
  const ended = follow(stored, {
    store,
    clock,
    lifetimeMs: 24 * hour,
    signal: abort.signal,
    async reload() {
      reads++
      if (store.isDown) throw new Error('down')
      return stored
    },
    onChanged: ({ version }) => versions.push(version),
  })
  const write = (next: Partial<Session> | undefined, { notify = true } = {}) => {
    stored = next && stored && { ...stored, ...next }
    if (notify) changes.notify('a')
    return turn()
  }
  return { clock, store, changes, abort, ended, versions, write, reads: () => reads }
}

test('a followed session is read when it changes and once a minute', async () => {
  const { clock, write, versions, reads, abort, ended } = setUp()
  await turn()
  assert.equal(reads(), 1)

  await clock.advance(59_000)
  assert.equal(reads(), 1)
  await write({ version: 2 })
  assert.deepEqual([reads(), versions], [2, [2]])
  await clock.advance(60_000)
  assert.deepEqual([reads(), versions], [3, [2]])

  abort.abort()
  assert.equal(await ended, undefined)
})

test('a change whose notification is lost is noticed within a minute', async () => {
  const { clock, write, store, ended } = setUp()
  await turn()
  store.reason = 'logout'
  await write(undefined, { notify: false })
  await clock.advance(60_000)
  assert.equal(await ended, 'logout')
})

test('while the store is unavailable the session counts as alive', async () => {
  const { clock, write, store, ended, versions } = setUp()
  await turn()
  store.isDown = true
  await write(undefined)
  await clock.advance(10 * 60_000)
  assert.deepEqual(versions, [])
  store.isDown = false
  await clock.advance(60_000)
  assert.equal(await ended, 'lost')
})

test('a session that was extended meanwhile is followed past its old expiry', async () => {
  const { clock, write, ended } = setUp()
  await write({ expiresAt: clock.now() + 2 * hour }, { notify: false })
  await clock.advance(1.5 * hour)
  await write({ expiresAt: clock.now() })
  await write(undefined)
  assert.equal(await ended, 'idle')
})
