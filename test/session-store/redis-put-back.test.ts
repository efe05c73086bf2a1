import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReplyError } from 'ioredis'
import type { RedisClient } from '../../plugins/session-store/redis-client.ts'
import { createRecentWrites } from '../../plugins/session-store/redis-failover.ts'

const redis = {} as RedisClient

test('writes before a freeze of the process are restored afterwards, up to a minute later', async () => {
  const { writes, putBack, advance } = setUp()
  writes('a')
  advance(25_000)
  assert.deepEqual(await putBack(), ['a 25000'])

  advance(36_000)
  assert.deepEqual(await putBack(), [])
})

test('while connected, remembered writes are dropped after twenty seconds', async () => {
  const { writes, putBack, advance } = setUp()
  writes('old')
  advance(21_000)
  writes('new')

  assert.deepEqual(await putBack(), ['new 0'])
})

test('a repeated write counts from then on, and keeps no older one of another key', async () => {
  const { writes, putBack, advance } = setUp()
  writes('a')
  writes('b')
  advance(15_000)
  writes('a')
  advance(10_000)
  writes('c')

  assert.deepEqual(await putBack(), ['a 10000', 'c 0'])
})

test('after a successful put-back, writes are dropped after twenty seconds again', async () => {
  const { writes, putBack, advance } = setUp()
  writes('a')
  assert.deepEqual(await putBack(), ['a 0'])
  advance(21_000)
  writes('b')

  assert.deepEqual(await putBack(), ['b 0'])
})

test('of more than ten thousand writes the oldest are dropped', async () => {
  const { writes, putBack } = setUp()
  for (let number = 1; number <= 10_002; number++) writes(`${number}`)

  const restored = await putBack()

  assert.equal(restored.length, 10_000)
  assert.deepEqual([restored[0], restored.at(-1)], ['3 0', '10002 0'])
})

test('every write that is put back is reported: done, refused by Redis, or cut off and tried again with the next connection', async () => {
  const reported: [string, unknown][][] = []
  const recent = createRecentWrites({
    onTried: (tries) => reported.push(tries.map(({ outcome, error }) => [outcome, error])),
  })
  const refusal = Object.assign(new ReplyError('WRONGTYPE'), { command: { args: ['a sealed record'] } })
  const cutOff = new Error('Connection is closed.')
  recent.note('a', async () => {})
  recent.note('b', async () => Promise.reject(refusal))
  recent.note('c', async () => Promise.reject(cutOff))

  recent.lost()
  await recent.putBack(redis)
  await recent.putBack(redis, (key) => key === 'a')

  assert.deepEqual(reported, [
    [
      ['ok', undefined],
      ['error', refusal],
      ['unavailable', cutOff],
    ],
    [['ok', undefined]],
  ])
  assert.ok(!('command' in refusal))
})

function setUp() {
  let now = 0
  const recent = createRecentWrites({ now: () => now })
  let putBack: string[] = []
  return {
    writes(key: string) {
      recent.note(key, async (_redis, agedMs) => putBack.push(`${key} ${agedMs}`))
    },
    advance(ms: number) {
      now += ms
    },
    /** The writes to restore after a lost connection. */
    async putBack() {
      putBack = []
      recent.lost()
      await recent.putBack(redis)
      return putBack
    },
  }
}
