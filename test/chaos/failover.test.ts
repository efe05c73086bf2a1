import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFailover, startFailoverWorld } from './failover-run.ts'
import { startWorld } from './world.ts'

test('a planned failover under load ends no session, spends no refresh token twice and causes no error', async (t) => {
  const failover = await startFailoverWorld(startWorld)
  t.after(failover.close)
  const sessions = await Promise.all(Array.from({ length: 8 }, () => failover.world.signIn()))

  const result = await runFailover(failover, sessions, 'planned')

  t.diagnostic(JSON.stringify(result))
  assert.deepEqual([result.failed, result.spentAgain, result.signedOut], [{}, 0, 0])
})
