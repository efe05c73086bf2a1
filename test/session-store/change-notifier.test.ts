import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { createChangeNotifier } from '../../plugins/session-store/change-notifier.ts'

test('a notice wakes all who wait for that session, and nobody else', async () => {
  const changes = createChangeNotifier()
  const { signal } = new AbortController()
  const waiters = [changes.wait('a', signal), changes.wait('a', signal)]
  void changes.wait('b', signal)

  changes.notify('a')

  await Promise.all(waiters)
  assert.equal(changes.waiting, 1)
})

test('notices that may have been missed wake everybody', async () => {
  const changes = createChangeNotifier()
  const { signal } = new AbortController()
  const waiters = [changes.wait('a', signal), changes.wait('b', signal)]
  changes.notifyAll()
  await Promise.all(waiters)
  assert.equal(changes.waiting, 0)
})

test('neither a notice nor an abort leaves anything behind', async () => {
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

test('a notice about which nobody wants to hear is no trouble', () => {
  createChangeNotifier().notify('a')
})

test('who comes with an aborted signal does not wait', async () => {
  const changes = createChangeNotifier()
  await changes.wait('a', AbortSignal.abort())
  assert.equal(changes.waiting, 0)
})
