import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RedisClient, retryDelayMs } from '../../plugins/session-store/redis-client.ts'
import { createRedisCommands } from '../../plugins/session-store/redis-commands.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'

test('a lost connection is tried again four times a second while a failover may last, and each second afterwards', () => {
  const delays = Array.from({ length: 60 }, (_, i) => retryDelayMs(i + 1))
  const startedAt = delays.map((_, i) => delays.slice(0, i + 1).reduce((sum, ms) => sum + ms, 0))

  assert.deepEqual(delays.slice(0, 4), [50, 100, 200, 250])
  for (const [i, ms] of delays.entries()) assert.ok(ms <= 250 || (startedAt[i] ?? 0) > 9_000, `${i}: ${ms}`)
  assert.equal(delays.at(-1), 1_000)
  assert.equal(retryDelayMs(100_000), 1_000)
})

test('a command whose connection was lost is sent again, but not one that may be sent only once', async () => {
  const connection = {
    client: {} as RedisClient,
    reachability: { isReady: true, awayMs: () => 0, ready: async () => {} },
    route: () => 'the same connection',
  }
  const { run } = createRedisCommands({ connection, storeTimeoutMs: 60_000 })
  const sent: string[] = []
  const fails = (name: string, times: number) => async () => {
    sent.push(name)
    if (sent.filter((other) => other === name).length <= times) throw new Error('Connection is closed.')
    return 'answer'
  }

  assert.equal(await run(fails('often', 2)), 'answer')
  await assert.rejects(run(fails('once', 2), { once: true }), StoreUnavailableError)

  assert.deepEqual(sent, ['often', 'often', 'often', 'once'])
})
