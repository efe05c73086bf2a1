import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { giveUpMs } from '../support/until.ts'
import {
  acquire,
  assertNotified,
  create,
  MINUTE,
  type PromiseOf,
  sealedAs,
  untilNotified,
} from './contract-support.ts'

export function notifiesOfChanges(promise: PromiseOf): void {
  promise('waiters are notified of a replacement by another gateway', async ({ store, other, id }) => {
    await create(store, id)
    await untilNotified(store, other, id)
    const notified = other.changed(id, AbortSignal.timeout(giveUpMs))
    await store.replace(id, sealedAs('second'), 1)
    await notified
    assert.equal((await other.read(id))?.version, 2)
  })

  promise('waiters are notified when a session ends', async ({ store, other, id }) => {
    await create(store, id)
    await untilNotified(store, other, id)
    await assertNotified(other, id, () => store.destroy(id))
  })

  promise('waiters are notified when a session ends by index', async ({ store, other, id }) => {
    await create(store, id, { indexes: [`${id}-subject`] })
    await untilNotified(store, other, id)
    await assertNotified(other, id, () => store.destroyBy(`${id}-subject`))
  })

  promise('waiters are notified of a released lock', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await untilNotified(store, other, id)
    await assertNotified(other, id, () => lock.release())
  })

  promise('waiters are notified of a back-off', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await untilNotified(store, other, id)
    await assertNotified(other, id, () => lock.backOff(MINUTE))
  })

  promise('all waiters are notified, in the same gateway and in others', async ({ store, other, id }) => {
    await create(store, id)
    await untilNotified(store, other, id)
    await untilNotified(other, store, id)
    const signal = AbortSignal.timeout(giveUpMs)
    const waiters = [store, store, other, other].map((gateway) => gateway.changed(id, signal))
    await store.replace(id, sealedAs('second'), 1)
    await Promise.all(waiters)
    assert.equal(signal.aborted, false)
  })

  promise('an abort ends the waiting, and leaves no listeners behind', async ({ store, id }) => {
    const controller = new AbortController()
    const waiters = Array.from({ length: 5 }, () => store.changed(id, controller.signal))
    controller.abort()
    await Promise.all(waiters)
    await store.changed(id, controller.signal)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  promise('closing the store ends all waiting', async ({ other, id }) => {
    const notified = other.changed(id, AbortSignal.timeout(giveUpMs))
    await other.close()
    await notified
  })
}
