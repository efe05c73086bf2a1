import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createSingleFlight, createStoreTime } from '../../../plugins/renewal/flight.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

test('callers during a running task get the same promise, and the task runs once', async () => {
  const flights = createSingleFlight<number>(createFakeClock())
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
  assert.deepEqual(await Promise.all([first.result, second.result]), [1, 1])
  assert.equal(runs, 1)
})

test('tasks of different keys run in parallel', async () => {
  const flights = createSingleFlight<string>(createFakeClock())
  const never = flights.run('a', () => new Promise(() => {}))
  assert.equal(await flights.run('b', async () => 'b').result, 'b')
  assert.equal(flights.current('a'), never)
})

test('after a task has succeeded or failed, the next one runs', async () => {
  const flights = createSingleFlight<number>(createFakeClock())
  assert.equal(await flights.run('a', async () => 1).result, 1)
  const failure = new Error('on purpose')
  await assert.rejects(flights.run('a', () => Promise.reject(failure)).result, failure)
  assert.equal(flights.current('a'), undefined)
  assert.equal(await flights.run('a', async () => 3).result, 3)
})

test('every caller of a failing task gets the error', async () => {
  const flights = createSingleFlight<number>(createFakeClock())
  const { promise, reject } = Promise.withResolvers<number>()
  const waiting = [flights.run('a', () => promise), flights.run('a', () => promise)]
  const failure = new Error('on purpose')
  reject(failure)
  for (const { result } of waiting) await assert.rejects(result, failure)
})

test('idle waits for tasks that begin while it waits', async () => {
  const flights = createSingleFlight<void>(createFakeClock())
  const first = Promise.withResolvers<void>()
  const second = Promise.withResolvers<void>()
  let idle = false
  flights.run('a', () => first.promise)
  const waiting = flights.idle().then(() => {
    idle = true
  })
  flights.run('b', () => second.promise)

  first.resolve()
  for (let turns = 0; turns < 10; turns++) await turn()
  assert.equal(idle, false)
  second.resolve()
  await waiting
  assert.equal(idle, true)
})

test('idle waits for all of several tasks, also after one has failed', async () => {
  const flights = createSingleFlight<void>(createFakeClock())
  const [first, second, third] = [0, 1, 2].map(() => Promise.withResolvers<void>())
  for (const [key, task] of Object.entries({ first, second, third }))
    flights.run(key, () => task?.promise ?? Promise.resolve()).result.catch(() => {})
  let idle = false
  const waiting = flights.idle().then(() => {
    idle = true
  })

  second?.reject(new Error('on purpose'))
  third?.resolve()
  for (let turns = 0; turns < 10; turns++) await turn()
  assert.equal(idle, false)
  first?.resolve()
  await waiting
  assert.equal(flights.current('first'), undefined)
})

test('idle resolves at once when nothing runs', async () => {
  await createSingleFlight(createFakeClock()).idle()
})

test('a request that follows one renewal after another counts what it waited for the store in each', async () => {
  const clock = createFakeClock()
  const [request, first, second] = [createStoreTime(clock), createStoreTime(clock), createStoreTime(clock)]
  const waitAtStore = async (storeTime: typeof first, ms: number) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waited = storeTime.measure(() => promise)
    await clock.advance(ms)
    resolve()
    await waited
  }
  // Before the request joined it.
  await waitAtStore(first, 1_000)
  request.include(first)
  await waitAtStore(first, 200)
  request.include(second)
  await waitAtStore(first, 1_000)
  await waitAtStore(second, 30)
  assert.equal(request.totalMs(), 230)
})
