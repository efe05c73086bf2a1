import assert from 'node:assert/strict'
import { acquire, assertAbout, HOUR, MINUTE, type PromiseOf } from './contract-support.ts'

export function locksSessions(promise: PromiseOf): void {
  promise('a lock has one holder at a time, over all gateways', async ({ store, other, id }) => {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).lock(id, MINUTE)),
    )
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'acquired').length, 1)
    for (const lock of outcomes.filter((lock) => lock.outcome === 'held')) {
      assertAbout(lock.expiresInMs, MINUTE)
    }
  })

  promise('locks of different sessions are independent', async ({ store, id }) => {
    await acquire(store, `${id}-1`)
    await acquire(store, `${id}-2`)
  })

  promise('a released lock can be taken by another', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await lock.release()
    await acquire(other, id)
  })

  promise('an expired lock can be taken by another', async ({ store, other, id, advance }) => {
    await acquire(store, id, MINUTE)
    await advance(MINUTE)
    await acquire(other, id, MINUTE)
  })

  promise('the holder of an expired lock can neither release it nor back off', async (world) => {
    const { store, other, id, advance } = world
    const expired = await acquire(store, id, MINUTE)
    await advance(MINUTE)
    await acquire(other, id, MINUTE)

    await expired.release()
    assert.equal((await store.lock(id, MINUTE)).outcome, 'held')
    await expired.backOff(5 * MINUTE)
    assert.equal((await store.lock(id, MINUTE)).outcome, 'held')

    await advance(MINUTE)
    assert.equal((await acquire(store, id, MINUTE)).failures, 0)
  })

  promise('a lock can be extended, even after it has expired', async ({ store, other, id, advance }) => {
    const lock = await acquire(store, id, MINUTE)
    assert.equal(await lock.extend(10 * MINUTE), true)
    await advance(9 * MINUTE)
    assert.equal((await other.lock(id, MINUTE)).outcome, 'held')

    await advance(10 * MINUTE)
    assert.equal(await lock.extend(MINUTE), true)
    assert.equal((await other.lock(id, MINUTE)).outcome, 'held')
    await lock.release()
    await acquire(other, id)
  })

  promise('a lock that another has taken meanwhile can not be extended', async (world) => {
    const { store, other, id, advance } = world
    const expired = await acquire(store, id, MINUTE)
    await advance(MINUTE)
    const lock = await acquire(other, id, MINUTE)

    assert.equal(await expired.extend(10 * MINUTE), false)

    await lock.release()
    await acquire(other, id)
  })

  promise('a lock released twice is not taken from its next owner', async ({ store, other, id }) => {
    const lock = await acquire(store, id)
    await lock.release()
    await acquire(other, id)
    await lock.release()
    assert.equal((await store.lock(id, MINUTE)).outcome, 'held')
  })

  promise('after a failure no one gets the lock until the back-off has passed', async (world) => {
    const { store, other, id, advance } = world
    const lock = await acquire(store, id)
    await lock.backOff(10 * MINUTE)

    for (const gateway of [store, other]) {
      const outcome = await gateway.lock(id, MINUTE)
      assert.ok(outcome.outcome === 'backing-off', outcome.outcome)
      assertAbout(outcome.retryInMs, 10 * MINUTE)
    }

    await advance(10 * MINUTE)
    await acquire(other, id)
  })

  promise('failures in a row are counted over all gateways until a release', async (world) => {
    const { store, other, id, advance } = world
    const first = await acquire(store, id)
    assert.equal(first.failures, 0)
    await first.backOff(10 * MINUTE)
    await advance(10 * MINUTE)

    const second = await acquire(other, id)
    assert.equal(second.failures, 1)
    await second.backOff(20 * MINUTE)
    await advance(20 * MINUTE)

    const third = await acquire(store, id)
    assert.equal(third.failures, 2)
    await third.release()

    assert.equal((await acquire(other, id)).failures, 0)
  })

  promise(
    'a lock lost in a failover is not given to another before its holder has restored it',
    async (world) => {
      const { store, other, id, failOver } = world
      const lock = await acquire(store, id)

      await failOver(id)

      const whoIsFirst = await other.lock(id, MINUTE)
      assert.ok(['held', 'recovering'].includes(whoIsFirst.outcome), whoIsFirst.outcome)
      assert.ok('expiresInMs' in whoIsFirst && whoIsFirst.expiresInMs > 0)
      assert.equal(await lock.extend(MINUTE), true)
    },
  )

  promise('failures expire', async ({ store, id, advance }) => {
    const lock = await acquire(store, id)
    await lock.backOff(MINUTE)
    await advance(HOUR)
    assert.equal((await acquire(store, id)).failures, 0)
  })
}

export function keepsMarkers(promise: PromiseOf): void {
  promise('a marker can be added once, over all gateways', async ({ store, other, id }) => {
    const added = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).addMarker(id, MINUTE)),
    )
    assert.deepEqual(
      added.filter((isFirst) => isFirst),
      [true],
    )
  })

  promise('a marker expires', async ({ store, other, id, advance }) => {
    assert.equal(await store.addMarker(id, MINUTE), true)
    await advance(MINUTE)
    assert.equal(await other.addMarker(id, MINUTE), true)
  })

  promise('a marker can be checked without adding it', async ({ store, other, id, advance }) => {
    assert.equal(await store.markerTtlMs(id), 0)
    assert.equal(await other.addMarker(id, MINUTE), true)
    const lastsMs = await store.markerTtlMs(id)
    assert.ok(lastsMs > 0 && lastsMs <= MINUTE, `${lastsMs}`)
    await advance(MINUTE)
    assert.equal(await store.markerTtlMs(id), 0)
  })

  promise('a working store answers a ping', async ({ store }) => {
    await store.ping()
  })
}
