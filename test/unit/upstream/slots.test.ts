import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlots } from '../../../plugins/upstream/slots.ts'

const { signal: never } = new AbortController()

/** A turn of the event loop, after which whoever could proceed has. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('so many go at once, and the others in the order in which they came', async () => {
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

test('a slot that is given back twice is one slot', async () => {
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

test('who has gone is given no slot, and takes none from those behind', async () => {
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
