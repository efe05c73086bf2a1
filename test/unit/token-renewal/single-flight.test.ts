import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSingleFlight } from '../../../plugins/token-renewal/single-flight.ts'

test('who asks while a task runs gets the same promise, and the task runs once', async () => {
  const flights = createSingleFlight<number>()
  const { promise, resolve } = Promise.withResolvers<number>()
  let runs = 0
  const task = () => {
    runs++
    return promise
  }
  const first = flights.run('a', task)
  const second = flights.run('a', task)
  assert.equal(first, second)
  assert.equal(flights.current('a'), first)

  resolve(1)
  assert.deepEqual(await Promise.all([first, second]), [1, 1])
  assert.equal(runs, 1)
})

test('tasks of different keys run side by side', async () => {
  const flights = createSingleFlight<string>()
  const never = flights.run('a', () => new Promise(() => {}))
  assert.equal(await flights.run('b', async () => 'b'), 'b')
  assert.equal(flights.current('a'), never)
})

test('once a task has ended, well or badly, the next one runs', async () => {
  const flights = createSingleFlight<number>()
  assert.equal(await flights.run('a', async () => 1), 1)
  const failure = new Error('on purpose')
  await assert.rejects(
    flights.run('a', () => Promise.reject(failure)),
    failure,
  )
  assert.equal(flights.current('a'), undefined)
  assert.equal(await flights.run('a', async () => 3), 3)
})

test('everybody who waits for a task that fails is told', async () => {
  const flights = createSingleFlight<number>()
  const { promise, reject } = Promise.withResolvers<number>()
  const waiting = [flights.run('a', () => promise), flights.run('a', () => promise)]
  const failure = new Error('on purpose')
  reject(failure)
  for (const each of waiting) await assert.rejects(each, failure)
})

test('idle waits for tasks that begin while it waits', async () => {
  const flights = createSingleFlight<void>()
  const first = Promise.withResolvers<void>()
  const second = Promise.withResolvers<void>()
  let idle = false
  flights.run('a', () => first.promise)
  const waiting = flights.idle().then(() => {
    idle = true
  })
  flights.run('b', () => second.promise)

  first.resolve()
  await flights.current('a')
  assert.equal(idle, false)
  second.resolve()
  await waiting
  assert.equal(idle, true)
})

test('idle is at once when nothing runs', async () => {
  await createSingleFlight().idle()
})
