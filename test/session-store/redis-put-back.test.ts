import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RedisClient } from '../../plugins/session-store/redis-client.ts'
import { createRecentWrites } from '../../plugins/session-store/redis-put-back.ts'

const redis = {} as RedisClient

test('what was written before the process was frozen is put back when it goes on, up to a minute later', async () => {
  const { writes, putBack, advance } = setUp()
  writes('a')
  advance(25_000)
  assert.deepEqual(await putBack(), ['a 25000'])

  advance(36_000)
  assert.deepEqual(await putBack(), [])
})

test('while there is a connection, writes are forgotten when they are twenty seconds old', async () => {
  const { writes, putBack, advance } = setUp()
  writes('old')
  advance(21_000)
  writes('new')

  assert.deepEqual(await putBack(), ['new 0'])
})

function setUp() {
  let now = 0
  const recent = createRecentWrites(() => now)
  let putBack: string[] = []
  return {
    writes(key: string) {
      recent.note(key, async (_redis, agedMs) => putBack.push(`${key} ${agedMs}`))
    },
    advance(ms: number) {
      now += ms
    },
    /** After a connection was lost. */
    async putBack() {
      putBack = []
      recent.lost()
      await recent.putBack(redis)
      return putBack
    },
  }
}
