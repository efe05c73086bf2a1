import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { createSlots } from '../../../plugins/upstream/slots.ts'

const { signal: never } = new AbortController()

/** A turn of the event loop, after which every caller that could proceed has done so. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('as many as there are slots go at once, the others in the order of arrival', async () => {
  const slots = createSlots(2)
  const order: number[] = []
  const [first, second] = [await slots.acquire(never), await slots.acquire(never)]
  const others = [3, 4].map((number) => slots.acquire(never).then(() => order.push(number)))
  await turn()
  assert.deepEqual(order, [])

  first()
  await turn()
  assert.deepEqual(order, [3])
  second()
  await Promise.all(others)
  assert.deepEqual(order, [3, 4])
})

test('a slot released twice is one slot', async () => {
  const slots = createSlots(1)
  const release = await slots.acquire(never)
  release()
  release()
  await slots.acquire(never)
  let isIn = false
  slots.acquire(never).then(() => (isIn = true))
  await turn()
  assert.equal(isIn, false)
})

test('an aborted waiter gets no slot, and costs the next ones none', async () => {
  const slots = createSlots(1)
  const release = await slots.acquire(never)
  const gone = new AbortController()
  const rejected = assert.rejects(slots.acquire(gone.signal), /gone/)
  const behind = slots.acquire(never)

  gone.abort(new Error('gone'))
  await rejected
  release()

  assert.equal(typeof (await behind), 'function')
  await assert.rejects(slots.acquire(gone.signal), /gone/)
})

test('a request that has waited for its slot leaves no listener at its signal', async () => {
  const slots = createSlots(1)
  const { signal } = new AbortController()
  const release = await slots.acquire(signal)
  const waiting = slots.acquire(signal)
  release()
  await waiting
  assert.deepEqual(getEventListeners(signal, 'abort'), [])
})
