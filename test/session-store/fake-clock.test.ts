import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { createFakeClock } from '../support/fake-clock.ts'

test('time stands still until it is moved', async () => {
  const clock = createFakeClock(1_000)
  assert.equal(clock.now(), 1_000)
  void clock.advance(500)
  assert.equal(clock.now(), 1_500)
  assert.equal(clock.monotonic(), 500)
})

test('sleepers wake in order, each at its own time, including those that start to sleep meanwhile', async () => {
  const clock = createFakeClock(0)
  const log: string[] = []
  const sleeper = async (name: string, ...naps: number[]) => {
    for (const ms of naps) {
      await clock.sleep(ms)
      log.push(`${name} at ${clock.now()}`)
    }
  }
  void sleeper('late', 30)
  void sleeper('early', 10, 10, 100)
  void sleeper('other', 10)

  await clock.advance(50)

  assert.deepEqual(log, ['early at 10', 'other at 10', 'early at 20', 'late at 30'])
  assert.equal(clock.now(), 50)
  assert.equal(clock.sleeping, 1)
})

test('an abort wakes a sleeper at once', async () => {
  const clock = createFakeClock()
  const controller = new AbortController()
  const slept = clock.sleep(1_000, controller.signal)
  controller.abort()
  await slept
  await clock.sleep(1_000, controller.signal)
  assert.equal(clock.sleeping, 0)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
})
