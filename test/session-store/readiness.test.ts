import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReadiness } from '../../plugins/session-store/readiness.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { createFakeClock } from '../support/fake-clock.ts'

test('a store that does not answer within a second is not ready', async () => {
  const clock = createFakeClock()
  const { isReady } = createReadiness({ ping: () => new Promise(() => {}) }, clock, () => {})
  const asked = isReady()
  await clock.advance(1_000)
  assert.equal(await asked, false)
})

test('parallel checks share one ping, and leave no listeners behind', async () => {
  const clock = createFakeClock()
  let pings = 0
  const answers: (() => void)[] = []
  const ping = () => {
    pings++
    return new Promise<void>((resolve) => answers.push(resolve))
  }
  const { isReady } = createReadiness({ ping }, clock, () => {})
  const asked = Promise.all(Array.from({ length: 100 }, isReady))
  answers[0]?.()
  assert.deepEqual(new Set(await asked), new Set([true]))
  assert.equal(pings, 1)
  assert.equal(clock.sleeping, 0)
  void isReady()
  assert.equal(pings, 2)
})

test('a change of readiness is logged once, with the reason', async () => {
  const readonly = new Error('READONLY')
  let error: Error | undefined
  const reports: unknown[] = []
  const ping = async () => {
    if (error) throw error
  }
  const { isReady } = createReadiness({ ping }, createFakeClock(), (reason) => reports.push(reason))
  await isReady()
  error = readonly
  assert.deepEqual([await isReady(), await isReady()], [false, false])
  error = undefined
  assert.deepEqual([await isReady(), await isReady()], [true, true])
  assert.deepEqual(reports, [readonly, undefined])
})

test('an error reply of Redis is logged by its code only', async () => {
  let error: unknown
  const ping = () => Promise.reject(error)
  const { isReady, warnings } = createReadiness({ ping }, createFakeClock(), () => {})
  for (const [cause, expected] of [
    [new Error("READONLY You can't write against a read only replica. script: 1f"), ['READONLY']],
    [new Error('OOM command not allowed when used memory > maxmemory'), ['OOM']],
    [new Error('connect ECONNREFUSED 10.0.0.7:6379'), []],
    [new Error("Stream isn't writeable"), []],
  ] as const) {
    error = new StoreUnavailableError(cause)
    assert.equal(await isReady(), false)
    assert.deepEqual(
      warnings(),
      expected.map((code) => `the session store answers ${code}`),
    )
  }
})
