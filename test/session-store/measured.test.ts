import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measured } from '../../plugins/session-store/measured.ts'
import { createMemoryStore } from '../../plugins/session-store/memory.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { storeContract } from './contract.ts'
import { acquire, create, HOUR, sealedAs } from './contract-support.ts'

storeContract('measured', async () => {
  const clock = createFakeClock()
  const store = measured(createMemoryStore({ clock }), () => {})
  return { store, other: store, advance: (ms) => clock.advance(ms), failOver: async () => {} }
})

test('each operation is reported once, with its duration', async () => {
  const reports: [operation: string, outcome: string, durationMs: number][] = []
  const store = measured(createMemoryStore({ clock: createFakeClock() }), (...report) => {
    reports.push(report)
  })

  await create(store, 'a', { indexes: ['i'] })
  await store.put('b', sealedAs('shared'), HOUR)
  await store.read('a')
  await store.replace('a', sealedAs('newer'), 1)
  await store.touch('a', HOUR)
  await acquire(store, 'a')
  await store.addMarker('name', HOUR)
  await store.markerTtlMs('name')
  await store.destroy('a')
  await store.destroyBy('i')
  await store.trim('i', 1, 'a')
  await store.ping()
  await store.close()

  assert.deepEqual(
    reports.map(([operation]) => operation),
    [
      'create',
      'put',
      'read',
      'replace',
      'touch',
      'lock',
      'addMarker',
      'markerTtlMs',
      'destroy',
      'destroyBy',
      'trim',
      'ping',
    ],
  )
  assert.ok(reports.every(([, outcome]) => outcome === 'ok'))
  assert.ok(reports.every(([, , durationMs]) => durationMs >= 0 && durationMs < 10_000))
})

test('a slow operation is reported when it is done, with its duration', async (t) => {
  t.mock.method(performance, 'now', () => now)
  let now = 1000
  const reports: unknown[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const slow = { ...createMemoryStore({ clock: createFakeClock() }), ping: () => promise }
  const pinged = measured(slow, (...report) => reports.push(report)).ping()

  assert.deepEqual(reports, [])
  now = 1250
  resolve()
  await pinged

  assert.deepEqual(reports, [['ping', 'ok', 250]])
})

test('a failing operation is reported with its outcome, and fails with the same error', async () => {
  const reports: string[][] = []
  const errors = [new StoreUnavailableError(new Error('down')), new TypeError('a fault of ours')]
  for (const error of errors) {
    const failing = { ...createMemoryStore({ clock: createFakeClock() }), read: () => Promise.reject(error) }
    const store = measured(failing, (operation, outcome) => reports.push([operation, outcome]))
    await assert.rejects(store.read('a'), error)
  }

  assert.deepEqual(reports, [
    ['read', 'unavailable'],
    ['read', 'error'],
  ])
})

test('waiting for a change is not reported as an operation', async () => {
  const reports: string[] = []
  const store = measured(createMemoryStore({ clock: createFakeClock() }), (operation) =>
    reports.push(operation),
  )
  await store.changed('a', AbortSignal.abort())
  assert.deepEqual(reports, [])
})
