import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRecentReads, MAX_AGE_MS, REFRESH_AFTER_MS } from '../../plugins/session-store/recent-reads.ts'

const found = { sealed: Buffer.from('sealed'), version: 3, ttlMs: 60_000 }

function start() {
  const state = { now: 0, isHealthy: true }
  const refreshed: string[] = []
  const recent = createRecentReads(
    () => state.isHealthy,
    (id) => void refreshed.push(id),
    () => state.now,
  )
  return { state, recent, refreshed }
}

test('a record that was just read is at hand, with the time that it still has', () => {
  const { state, recent } = start()
  recent.begin('id')(found)
  state.now = 500
  assert.deepEqual(recent.peek('id'), { ...found, ttlMs: 59_500 })
  assert.equal(recent.peek('other'), undefined)
})

test('no record is used for longer than two seconds, counted from before it was asked for', () => {
  const { state, recent } = start()
  const answered = recent.begin('id')
  state.now = 1000
  answered(found)
  state.now = MAX_AGE_MS - 1
  assert.ok(recent.peek('id'))
  state.now = MAX_AGE_MS
  assert.equal(recent.peek('id'), undefined)
})

test('a record that is used is read again before its time is up, once at a time', () => {
  const { state, recent, refreshed } = start()
  recent.begin('id')(found)
  state.now = REFRESH_AFTER_MS - 1
  assert.ok(recent.peek('id'))
  assert.deepEqual(refreshed, [])
  state.now = REFRESH_AFTER_MS
  assert.ok(recent.peek('id'))
  assert.deepEqual(refreshed, ['id'])
  const answered = recent.begin('id')
  assert.ok(recent.peek('id'))
  assert.deepEqual(refreshed, ['id'])
  answered({ ...found, version: 4 })
  state.now = MAX_AGE_MS
  assert.equal(recent.peek('id')?.version, 4)
  recent.begin('id')(undefined)
  assert.equal(recent.peek('id'), undefined)
})

test('a record is not used after its own time', () => {
  const { state, recent } = start()
  recent.begin('id')({ ...found, ttlMs: 100 })
  state.now = 100
  assert.equal(recent.peek('id'), undefined)
})

test('a change ends the use of a record at once', () => {
  const { recent } = start()
  recent.begin('id')(found)
  recent.forget('id')
  assert.equal(recent.peek('id'), undefined)
})

test('an answer that a change has overtaken is not kept', () => {
  const { recent } = start()
  const [first, second] = [recent.begin('id'), recent.begin('id')]
  recent.forget('id')
  const third = recent.begin('id')
  first(found)
  second(found)
  assert.equal(recent.peek('id'), undefined)
  third({ ...found, version: 4 })
  assert.equal(recent.peek('id')?.version, 4)
})

test('nothing is kept of a read that found nothing or failed', () => {
  const { recent } = start()
  recent.begin('id')(undefined)
  assert.equal(recent.peek('id'), undefined)
})

test('while changes may not be heard of, no record is used, nor later', () => {
  const { state, recent } = start()
  recent.begin('id')(found)
  state.isHealthy = false
  assert.equal(recent.peek('id'), undefined)
  state.isHealthy = true
  assert.equal(recent.peek('id'), undefined)
})

test('a new subscription starts with nothing, and with no answer that was under way', () => {
  const { recent } = start()
  recent.begin('one')(found)
  const answered = recent.begin('other')
  recent.forgetAll()
  answered(found)
  assert.deepEqual([recent.peek('one'), recent.peek('other')], [undefined, undefined])
})

test('a kept record does not hold a larger buffer', () => {
  const { recent } = start()
  const reply = Buffer.alloc(64 * 1024, 'x')
  recent.begin('id')({ ...found, sealed: reply.subarray(100, 200) })
  assert.equal(recent.peek('id')?.sealed.buffer.byteLength, 100)
})
