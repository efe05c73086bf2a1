import { until } from '../support/until.ts'
import { type Pace, startLoad } from './balanced-load.ts'
import type { SignedIn, startWorldOf, World } from './process-world.ts'
import { type TroubledRedis, topologies } from './redis-troubles.ts'

/** Four gateways with a failing Redis; access tokens live for twelve seconds. */
export interface FailoverWorld {
  world: World
  troubles: TroubledRedis['troubles']
  close(): Promise<void>
}

export type Topology = keyof typeof topologies

export interface FailoverResult {
  answers: number
  /** Answers other than 200, by status and code. */
  failed: Record<string, number>
  p99Ms: number
  slowestMs: number
  grants: number
  /** Refresh tokens that the issuer refused, or that were sent twice. */
  spentAgain: number
  /** Sessions that got 401. */
  signedOut: number
}

export async function startFailoverWorld(
  startWorld: (options: Parameters<typeof startWorldOf>[1]) => Promise<World>,
  topology: Topology = 'sentinel',
): Promise<FailoverWorld> {
  const redis = await topologies[topology]()
  const world = await startWorld({
    accessTokenLifetime: 12,
    env: { SESSION_MAX_PER_USER: '1000' },
    redisUrlFor: () => redis.url,
  })
  return {
    world,
    troubles: redis.troubles,
    async close() {
      await world.close()
      await redis.close()
    },
  }
}

/** Causes a Redis failure under load, and collects the results after all sessions have renewed since. */
export async function runFailover(
  { world, troubles }: FailoverWorld,
  sessions: SignedIn[],
  trouble: string,
  pace?: Pace,
): Promise<FailoverResult> {
  const begin = troubles[trouble]
  if (!begin) throw new RangeError(`There is no ${trouble}, but ${Object.keys(troubles).join(', ')}`)
  const load = startLoad(sessions, world.gateways, pace)
  await load.more(5 * sessions.length)
  const end = await begin()
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
    signedOut: new Set(load.answers.filter(({ status }) => status === 401).map(({ session }) => session))
      .size,
  }
}

async function renewedSince(sessions: SignedIn[], times: number): Promise<void> {
  const before = sessions.map(({ lineage }) => lineage.tokens.length)
  await until(() =>
    sessions.every(({ lineage }, i) => lineage.tokens.length >= (before[i] ?? 0) + times),
  ).catch(() => {
    // The result reports it.
  })
}
