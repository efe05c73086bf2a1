import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { queryObjects } from 'node:v8'
import { createChangeNotifier } from '../../plugins/session-store/change-notifier.ts'

test('a notification wakes all waiters of that session, and no others', async () => {
  const changes = createChangeNotifier()
  const { signal } = new AbortController()
  const waiters = [changes.wait('a', signal), changes.wait('a', signal)]
  void changes.wait('b', signal)

  changes.notify('a')

  await Promise.all(waiters)
  assert.equal(changes.waiting, 1)
})

test('notifications that may have been missed wake all waiters', async () => {
  const changes = createChangeNotifier()
  const { signal } = new AbortController()
  const waiters = [changes.wait('a', signal), changes.wait('b', signal)]
  changes.notifyAll()
  await Promise.all(waiters)
  assert.equal(changes.waiting, 0)
})

test('neither a notification nor an abort leaves listeners behind', async () => {
  const changes = createChangeNotifier()
  const controller = new AbortController()
  const waiters = [changes.wait('a', controller.signal), changes.wait('b', controller.signal)]
  changes.notify('a')
  assert.equal(getEventListeners(controller.signal, 'abort').length, 1)

  controller.abort()

  await Promise.all(waiters)
  assert.equal(changes.waiting, 0)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
})

test('a notification without waiters does nothing', () => {
  createChangeNotifier().notify('a')
})

test('with an aborted signal waiting ends at once', async () => {
  const changes = createChangeNotifier()
  await changes.wait('a', AbortSignal.abort())
  assert.equal(changes.waiting, 0)
})

test('sessions that were waited for once take no memory afterwards', async () => {
  const changes = createChangeNotifier()
  const { signal } = new AbortController()
  const before = queryObjects(Set, { format: 'count' })
  for (let i = 0; i < 1_000; i++) {
    const waiter = changes.wait(`${i}`, signal)
    changes.notify(`${i}`)
    await waiter
  }
  const left = queryObjects(Set, { format: 'count' }) - before
  assert.ok(left < 100, `${left} sets are left`)
  changes.notifyAll()
})
