import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { giveUpMs, until } from '../support/until.ts'
import { hold } from './faults.ts'
import { assertGrants, assertServed, assertSurvives, assertUnavailableNow, bodyOf } from './judge.ts'
import { openStore } from './stored-session.ts'
import { expiredMs, inWindowMs, startWorld, type TimedAnswer, type World } from './world.ts'

const watchers: RedisServer[] = []
let replica: RedisServer
let world: World

before(async () => {
  world = await startWorld({
    async redisUrlFor(master) {
      await ask(master, 'CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
      replica = await startRedis({ config: [`replicaof 127.0.0.1 ${master.port}`] })
      await until(async () => (await ask(replica, 'INFO', 'replication')).includes('master_link_status:up'))
      const sentinel = await startRedis({
        sentinel: true,
        config: [
          `sentinel monitor sessions 127.0.0.1 ${master.port} 1`,
          'sentinel down-after-milliseconds sessions 500',
          'sentinel failover-timeout sessions 3000',
        ],
      })
      watchers.push(sentinel)
      return `sentinel://127.0.0.1:${sentinel.port}/sessions`
    },
  })
})
after(async () => {
  await world.close()
  await Promise.all([replica, ...watchers].map((server) => server.close()))
})

test('the master is killed during renewals: sessions and late tokens are kept at the new one', async (t) => {
  const [old, fresh] = await Promise.all([world.signIn(), world.signIn('bob')])
  await Promise.all([old.stored.leaveTokens(expiredMs), fresh.stored.leaveTokens(inWindowMs)])
  const [holdOld, holdFresh] = [hold('answer'), hold('answer')]
  old.lineage.fault = holdOld.fault
  fresh.lineage.fault = holdFresh.fault
  const waiting = old.storm(world.gateways, 2)
  assertServed(await fresh.storm(world.gateways, 2), fresh)
  await Promise.all([holdOld.reached, holdFresh.reached])
  const onReplica = await openStore(replica.url)
  t.after(() => onReplica.close())
  for (const session of [old, fresh]) {
    const { tokenSet } = (await session.stored.read()) ?? assert.fail()
    session.stored = await onReplica.sessionOf(session.browser)
    await until(async () => (await session.stored.read())?.tokenSet.expiresAt === tokenSet.expiresAt)
  }

  await world.redis.kill()
  const killedAt = performance.now()
  holdOld.release()
  holdFresh.release()

  const servedOrUnavailable = (answers: TimedAnswer[]) => {
    for (const answer of answers) if (answer.status !== 200) assertUnavailableNow(answer, bodyOf(answer).code)
  }
  // Waiting requests are served if the failover is over in time.
  servedOrUnavailable(await waiting)
  for (const session of [old, fresh]) {
    await until(async () => {
      const answers = await session.storm(world.gateways, 1)
      servedOrUnavailable(answers)
      return answers.every(({ status }) => status === 200)
    })
  }
  const tookMs = Math.round(performance.now() - killedAt)
  for (const session of [old, fresh]) {
    await until(async () => (await session.stored.read())?.renewals === 1)
    assertGrants(session, 1)
    await assertSurvives(session, world.gateways, giveUpMs)
  }
  t.diagnostic(`grants: 2, longest wait for the new master: ${tookMs} ms`)
})

async function ask({ port }: RedisServer, command: string, ...args: string[]): Promise<string> {
  const redis = new Redis(port, '127.0.0.1')
  try {
    return String(await redis.call(command, ...args))
  } finally {
    redis.disconnect()
  }
}
