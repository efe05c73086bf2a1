import assert from 'node:assert/strict'
import { test } from 'node:test'
import { queryObjects } from 'node:v8'
import { createExpiringMap } from '../../lib/expiring-map.ts'
import { createMemoryStore } from '../../plugins/session-store/memory.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { storeContract } from './contract.ts'
import { sealedAs } from './contract-support.ts'

storeContract('memory', async () => {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  return { store, other: store, advance: clock.advance, failOver: async () => {} }
})

test('the least recently used session is evicted when the store is full', async () => {
  const store = createMemoryStore({ clock: createFakeClock(), maxSessions: 2 })
  const record = { sealed: sealedAs('sealed'), ttlMs: 1_000, indexes: ['subject'] }
  await store.create('a', record)
  await store.create('b', record)
  await store.read('a')

  await store.create('c', record)

  assert.equal(await store.read('b'), undefined)
  assert.equal((await store.destroyBy('subject')).length, 2)
})

test('locks and claims are bounded like sessions', async () => {
  const store = createMemoryStore({ clock: createFakeClock(), maxSessions: 2 })
  for (const name of ['a', 'b', 'c']) {
    await store.lock(name, 1_000)
    await store.addMarker(name, 1_000)
  }
  assert.equal((await store.lock('c', 1_000)).outcome, 'held')
  assert.equal((await store.lock('a', 1_000)).outcome, 'acquired')
  assert.equal(await store.addMarker('c', 1_000), false)
  assert.equal(await store.addMarker('a', 1_000), true)
})

test('a session touched at the end of its time to live has expired', async () => {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  await store.create('a', { sealed: sealedAs('sealed'), ttlMs: 100, indexes: [] })
  await clock.advance(99)
  assert.equal((await store.read('a'))?.ttlMs, 1)
  await clock.advance(1)
  assert.equal(await store.read('a'), undefined)
})

test("after waiting for the lock's remaining time the lock is free", async () => {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  await store.lock('a', 100.5)
  const held = await store.lock('a', 100)
  assert.ok(held.outcome === 'held')
  await clock.advance(held.expiresInMs)
  assert.equal((await store.lock('a', 100)).outcome, 'acquired')
})

test('an evicted session is reported, an expired or ended one is not', async () => {
  const clock = createFakeClock()
  let evicted = 0
  const store = createMemoryStore({ clock, maxSessions: 2, onEvicted: () => evicted++ })
  const record = { sealed: sealedAs('sealed'), ttlMs: 1_000, indexes: [] }
  await store.create('a', record)
  await store.create('b', record)
  await store.destroy('a')
  await store.create('c', record)
  await clock.advance(2_000)
  await store.create('d', { ...record, ttlMs: 5_000 })
  await store.create('e', { ...record, ttlMs: 5_000 })
  assert.equal(evicted, 0)
  await store.create('f', record)
  assert.equal(evicted, 1)
  assert.equal(await store.read('d'), undefined)
})

test('what is not a session evicts none, and is bounded too', async () => {
  const store = createMemoryStore({ clock: createFakeClock(), maxSessions: 2 })
  await store.create('a', { sealed: sealedAs('sealed'), ttlMs: 1_000, indexes: [] })
  for (let i = 0; i < 2001; i++) await store.put(`put-${i}`, sealedAs('put'), 1_000)
  assert.notEqual(await store.read('a'), undefined)
  assert.equal(await store.read('put-0'), undefined)
  assert.equal((await store.read('put-2000'))?.ttlMs, 1_000)
})

test('expired entries are removed within a minute, without being read', async () => {
  const clock = createFakeClock()
  const gone: unknown[] = []
  const map = createExpiringMap<string>({ clock, maxEntries: 10, onGone: (...args) => gone.push(args) })
  map.set('a', 'expired', 1_000)
  map.set('b', 'lives', 600_000)
  await clock.advance(59_999)
  map.set('c', 'lives', 600_000)
  assert.deepEqual(gone, [])
  await clock.advance(1)
  map.set('d', 'lives', 600_000)
  assert.deepEqual(gone, [['expired', 'a', false]])
  assert.equal(map.get('b'), 'lives')
})

test('an index takes no memory once its sessions are gone', async () => {
  const store = createMemoryStore({ clock: createFakeClock() })
  const before = queryObjects(Set, { format: 'count' })
  for (let i = 0; i < 1_000; i++) {
    await store.create(`${i}`, { sealed: sealedAs('sealed'), ttlMs: 1_000, indexes: [`subject-${i}`] })
    await store.destroy(`${i}`)
  }
  const left = queryObjects(Set, { format: 'count' }) - before
  assert.ok(left < 100, `${left} sets are left`)
  await store.close()
})
