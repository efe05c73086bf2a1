import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import {
  acquire,
  assertHeard,
  create,
  MINUTE,
  type PromiseOf,
  sealedAs,
  untilHeard,
} from './contract-support.ts'

export function tellsOfChanges(promise: PromiseOf): void {
  promise('whoever waits hears of a replacement by another gateway', async ({ store, other, id }) => {
    await create(store, id)
    await untilHeard(store, other, id)
    const heard = other.changed(id, AbortSignal.timeout(5_000))
    await store.replace(id, sealedAs('second'), 1)
    await heard
    assert.equal((await other.read(id))?.version, 2)
  })

  promise('whoever waits hears of an end', async ({ store, other, id }) => {
    await create(store, id)
    await untilHeard(store, other, id)
    await assertHeard(other, id, () => store.destroy(id))
  })

  promise('whoever waits hears of an end by index', async ({ store, other, id }) => {
    await create(store, id, { indexes: [`${id}-subject`] })
    await untilHeard(store, other, id)
    await assertHeard(other, id, () => store.destroyBy(`${id}-subject`))
  })

  promise('whoever waits hears of a released lock', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await untilHeard(store, other, id)
    await assertHeard(other, id, () => lock.release())
  })

  promise('whoever waits hears of a back-off', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await untilHeard(store, other, id)
    await assertHeard(other, id, () => lock.backOff(MINUTE))
  })

  promise('all who wait hear, in the same gateway and in others', async ({ store, other, id }) => {
    await create(store, id)
    await untilHeard(store, other, id)
    await untilHeard(other, store, id)
    const signal = AbortSignal.timeout(5_000)
    const waiters = [store, store, other, other].map((gateway) => gateway.changed(id, signal))
    await store.replace(id, sealedAs('second'), 1)
    await Promise.all(waiters)
    assert.equal(signal.aborted, false)
  })

  promise('an abort frees who waits, and leaves nothing behind', async ({ store, id }) => {
    const controller = new AbortController()
    const waiters = Array.from({ length: 5 }, () => store.changed(id, controller.signal))
    controller.abort()
    await Promise.all(waiters)
    await store.changed(id, controller.signal)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  promise('a store that closes frees who waits', async ({ other, id }) => {
    const heard = other.changed(id, AbortSignal.timeout(60_000))
    await other.close()
    await heard
  })
}
