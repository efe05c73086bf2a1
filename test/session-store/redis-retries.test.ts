import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelayMs } from '../../plugins/session-store/redis-client.ts'

test('a lost connection is tried again four times a second while a failover may last, and each second afterwards', () => {
  const delays = Array.from({ length: 60 }, (_, i) => retryDelayMs(i + 1))
  const startedAt = delays.map((_, i) => delays.slice(0, i + 1).reduce((sum, ms) => sum + ms, 0))

  assert.deepEqual(delays.slice(0, 4), [50, 100, 200, 250])
  for (const [i, ms] of delays.entries()) assert.ok(ms <= 250 || (startedAt[i] ?? 0) > 9_000, `${i}: ${ms}`)
  assert.equal(delays.at(-1), 1_000)
  assert.equal(retryDelayMs(100_000), 1_000)
})
