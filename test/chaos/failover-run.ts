import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { startLoad } from './balanced-load.ts'
import { type SignedIn, startWorld, type World } from './world.ts'

/** Four gateways on a master with two replicas, watched by three Sentinels; access tokens live for twelve seconds. */
export interface FailoverWorld {
  world: World
  /** Ways for the master to lose its place. Each resolves when there is another, and gives what brings the old one back. */
  troubles: Record<TroubleName, () => Promise<() => Promise<void>>>
  close(): Promise<void>
}

export type TroubleName = 'planned' | 'killed' | 'frozen'

export interface FailoverResult {
  answers: number
  /** Other than 200, by status and code. */
  failed: Record<string, number>
  p99Ms: number
  slowestMs: number
  grants: number
  /** Refresh tokens that the issuer refused, or that were sent twice. */
  spentAgain: number
  /** Whose session has ended, or has another refresh token than the issuer's newest. */
  signedOut: number
}

const frozenMs = 25_000

export async function startFailoverWorld(): Promise<FailoverWorld> {
  const servers: RedisServer[] = []
  const sentinels: RedisServer[] = []
  const world = await startWorld({
    accessTokenLifetime: 12,
    env: { OIDC_TIMEOUT: '5s', STORE_TIMEOUT: '5s' },
    async redisUrlFor(master) {
      await master.send('CONFIG SET repl-diskless-sync-delay 0')
      servers.push(master)
      const config = ['repl-diskless-sync-delay 0', `replicaof 127.0.0.1 ${master.port}`]
      servers.push(...(await Promise.all([startRedis({ config }), startRedis({ config })])))
      await until(
        async () =>
          (await master.send('INFO replication')).includes('connected_slaves:2') ||
          // The answer may come in parts.
          (await master.send('WAIT 2 100')).startsWith(':2'),
      )
      const monitor = [
        `sentinel monitor sessions 127.0.0.1 ${master.port} 2`,
        'sentinel down-after-milliseconds sessions 1000',
        'sentinel failover-timeout sessions 6000',
        'sentinel parallel-syncs sessions 2',
      ]
      for (let i = 0; i < 3; i++) sentinels.push(await startRedis({ sentinel: true, config: monitor }))
      await until(
        async () => (await sentinels[0]?.send('SENTINEL CKQUORUM sessions'))?.startsWith('+OK 3'),
        30_000,
      )
      return `sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join()}/sessions`
    },
  })

  return {
    world,
    troubles: {
      planned: () =>
        moved(async () => {
          await until(
            async () => (await sentinels[0]?.send('SENTINEL FAILOVER sessions'))?.startsWith('+OK'),
            60_000,
          )
          return async () => {}
        }),
      killed: () =>
        moved(async (master) => {
          await master.kill()
          return () => master.restart()
        }),
      frozen: () =>
        moved(async (master) => {
          master.pause()
          const resumed = wait(frozenMs).then(() => master.resume())
          return () => resumed
        }),
    },
    async close() {
      await world.close()
      await Promise.all([...servers.slice(1), ...sentinels].map((server) => server.close()))
    },
  }

  async function moved(begin: (master: RedisServer) => Promise<() => Promise<void>>) {
    const before = await masterPort()
    const end = await begin(servers.find(({ port }) => port === before) ?? assert.fail())
    await until(async () => (await masterPort()) !== before, 60_000)
    return end
  }

  async function masterPort(): Promise<number> {
    const answer = (await sentinels[0]?.send('SENTINEL GET-MASTER-ADDR-BY-NAME sessions')) ?? ''
    return Number(/\d{4,5}(?=\s*$)/.exec(answer)?.[0])
  }
}

/** Lets a trouble befall the master under load, and judges what came of it when all sessions have renewed since. */
export async function runFailover(
  { world, troubles }: FailoverWorld,
  sessions: SignedIn[],
  trouble: TroubleName,
): Promise<FailoverResult> {
  const load = startLoad(sessions, world.gateways)
  await load.more(50 * sessions.length)
  const end = await troubles[trouble]()
  await renewedSince(sessions, 1)
  await end()
  await renewedSince(sessions, 1)
  await load.stop()

  const took = load.answers.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  const failed: Record<string, number> = {}
  for (const { status, body } of load.answers) {
    if (status === 200) continue
    const what = `${status} ${/"code":"(\w+)"/.exec(body)?.[1] ?? body.slice(0, 40)}`
    failed[what] = (failed[what] ?? 0) + 1
  }
  const grants = sessions.flatMap(({ lineage }) => lineage.grants())
  const hashes = grants.map(({ refreshTokenHash }) => refreshTokenHash)
  return {
    answers: took.length,
    failed,
    p99Ms: took[Math.floor(0.99 * took.length)] ?? 0,
    slowestMs: took.at(-1) ?? 0,
    grants: grants.length,
    spentAgain:
      grants.filter(({ outcome }) => outcome !== 'success').length + hashes.length - new Set(hashes).size,
    signedOut: failed['401 BFF_SESSION_REQUIRED'] || failed['401 BFF_SESSION_ENDED'] ? 1 : 0,
  }
}

async function renewedSince(sessions: SignedIn[], times: number): Promise<void> {
  const before = sessions.map(({ lineage }) => lineage.tokens.length)
  await until(
    () => sessions.every(({ lineage }, i) => lineage.tokens.length >= (before[i] ?? 0) + times),
    60_000,
  ).catch(() => {
    // Told by the result.
  })
}
