import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReadiness } from '../../plugins/session-store/readiness.ts'
import { createFakeClock } from '../support/fake-clock.ts'

test('a store that does not answer within a second is not ready', async () => {
  const clock = createFakeClock()
  const isReady = createReadiness({ ping: () => new Promise(() => {}) }, clock, () => {})
  const asked = isReady()
  await clock.advance(1_000)
  assert.equal(await asked, false)
})

test('all who ask at once share one try, and nothing is left of it', async () => {
  const clock = createFakeClock()
  let pings = 0
  const answers: (() => void)[] = []
  const ping = () => {
    pings++
    return new Promise<void>((resolve) => answers.push(resolve))
  }
  const isReady = createReadiness({ ping }, clock, () => {})
  const asked = Promise.all(Array.from({ length: 100 }, isReady))
  answers[0]?.()
  assert.deepEqual(new Set(await asked), new Set([true]))
  assert.equal(pings, 1)
  assert.equal(clock.sleeping, 0)
  void isReady()
  assert.equal(pings, 2)
})

test('a change is told once, with what is wrong', async () => {
  const readonly = new Error('READONLY')
  let error: Error | undefined
  const told: unknown[] = []
  const ping = async () => {
    if (error) throw error
  }
  const isReady = createReadiness({ ping }, createFakeClock(), (reason) => told.push(reason))
  await isReady()
  error = readonly
  assert.deepEqual([await isReady(), await isReady()], [false, false])
  error = undefined
  assert.deepEqual([await isReady(), await isReady()], [true, true])
  assert.deepEqual(told, [readonly, undefined])
})
