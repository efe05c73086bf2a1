import { randomBytes } from 'node:crypto'
import { Pool } from 'undici'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { startTimeApi } from '../demo/time-api.ts'
import { systemClock } from '../lib/clock.ts'
import { seal } from '../plugins/session/sealing.ts'
import { sidIndex, subjectIndex } from '../plugins/session/session-indexes.ts'
import { createSessionProfiles } from '../plugins/session/session-profiles.ts'
import type { SessionRecord } from '../plugins/session/session-record.ts'
import { createStore } from '../plugins/session-store/create-store.ts'
import type { SessionStore } from '../plugins/session-store/store.ts'
import { startFaultyIssuer } from '../test/support/faulty-issuer.ts'
import { sessionKey, startGateway } from '../test/support/gateway-process.ts'
import { logoutClaims } from '../test/support/logout-token.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { startCluster } from '../test/support/redis-topologies.ts'
import { withEnding } from './ending.ts'
import { latencies } from './latencies.ts'

/** Operations under way at the same time. */
const parallel = 200

export interface ScaleOptions {
  /** How many sessions are loaded. */
  sessions?: string | undefined
  /** How many users are logged out at once. */
  users?: string | undefined
}

/**
 * What Redis needs: memory and keys per session, commands per request, 10,000 users logged out at once, and a Cluster of three
 * masters. Everything, clients included, shares this machine's processors.
 */
export async function scale({ sessions = '200000', users = '10000' }: ScaleOptions): Promise<void> {
  await measureMemory(Number(sessions))
  await measureCommands()
  await measureLogouts(Number(users))
  await measureCluster()
}

async function measureMemory(count: number): Promise<void> {
  await withEnding(async ({ after }) => {
    const redis = await startRedis()
    after(redis.close)
    const store = openStore(redis.url)
    after(() => store.close())
    const empty = await usedMemory(redis)
    const rows = []
    const startedAt = performance.now()
    for (let done = 0, part = 1; part <= 4; part++) {
      const wanted = Math.round((count * part) / 4)
      await inParallel(wanted - done, (i) => create(store, done + i))
      done = wanted
      const bytes = (await usedMemory(redis)) - empty
      rows.push({
        sessions: done,
        'MB in Redis': megabytes(bytes),
        'bytes per session': Math.round(bytes / done),
      })
    }
    const seconds = (performance.now() - startedAt) / 1000
    const perSession = ((await usedMemory(redis)) - empty) / count
    const keys = Number((await redis.send('DBSIZE')).match(/\d+/)?.[0])
    console.table(rows)
    console.log(
      `${Math.round(count / seconds)} sessions stored per second, ${(keys / count).toFixed(2)} keys per session`,
    )
    console.log(`Extrapolated, not measured: a million sessions are ${megabytes(perSession * 1e6)} MB\n`)
  })
}

/** Commands that Redis gets for each thing that users do, by its own count. */
async function measureCommands(): Promise<void> {
  await withEnding(async (ending) => {
    const audience = 'urn:bench:api'
    const redis = await startRedis()
    ending.after(redis.close)
    const issuer = await startFaultyIssuer({ apiAudience: audience, accessTokenLifetime: 3600 })
    ending.after(issuer.close)
    const api = await startTimeApi({ issuer: issuer.issuer, audience })
    ending.after(api.close)
    const gateway = await startGateway(ending, {
      issuer,
      apiUrl: api.url,
      redisUrl: redis.url,
      env: { LOG_LEVEL: 'info' },
    })
    const rows: Record<string, string | number>[] = []
    const measure = async (what: string, times: number, act: () => Promise<unknown>) => {
      await redis.send('CONFIG RESETSTAT')
      for (let i = 0; i < times; i++) await act()
      const counted = await commands(redis)
      const total = Object.values(counted).reduce((sum, n) => sum + n, 0)
      const names = Object.entries(counted).map(([name, n]) => `${name} ${(n / times).toFixed(2)}`)
      rows.push({ '': what, 'commands each': (total / times).toFixed(2), which: names.join(', ') })
    }

    const browsers = Array.from({ length: 50 }, () => createHttpBrowser())
    let next = 0
    await measure('login', 50, () => (browsers[next++] ?? createHttpBrowser()).signIn(gateway.url, 'alice'))
    const [browser = createHttpBrowser()] = browsers
    const call = (path: string) => browser.fetch(gateway.url + path, { headers: { 'x-csrf': '1' } })
    await measure('call of an API, one after another', 2000, () => call('/api/gettime'))
    await measure('/bff/session', 500, () => call('/bff/session'))
    next = 0
    await measure('logout', 50, () => (browsers[next++] ?? createHttpBrowser()).signOut(gateway.url))
    console.table(rows)
  })
}

async function measureLogouts(count: number): Promise<void> {
  await withEnding(async (ending) => {
    const redis = await startRedis()
    ending.after(redis.close)
    const issuer = await startFaultyIssuer()
    ending.after(issuer.close)
    const gateway = await startGateway(ending, {
      issuer,
      apiUrl: 'http://127.0.0.1:9',
      redisUrl: redis.url,
      env: { LOG_LEVEL: 'info' },
    })
    const store = openStore(redis.url)
    ending.after(() => store.close())
    await inParallel(count, (i) => create(store, i, issuer.issuer))
    const before = await records(redis)
    const tokens: string[] = []
    for (let i = 0; i < count; i++)
      tokens.push(await issuer.sign(logoutClaims(issuer, { sub: `user-${i}` }), { typ: 'logout+jwt' }))
    const pool = new Pool(gateway.url, { connections: 50 })
    ending.after(() => pool.close())
    const times: number[] = []
    const startedAt = performance.now()
    await inParallel(count, async (i) => {
      const sentAt = performance.now()
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: '/bff/backchannel-logout',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: String(new URLSearchParams({ logout_token: tokens[i] ?? '' })),
      })
      await body.dump()
      if (statusCode !== 200) throw new Error(`A notice was answered ${statusCode}`)
      times.push(performance.now() - sentAt)
    })
    const seconds = (performance.now() - startedAt) / 1000
    const { p50, p99, max } = latencies(times)
    const left = await records(redis)
    console.log(
      `${before} sessions of ${count} users, logged out by back-channel notices at one gateway: ${left} left`,
    )
    console.table([
      {
        seconds: seconds.toFixed(1),
        'notices/s': Math.round(count / seconds),
        'p50, ms': Math.round(p50),
        'p99, ms': Math.round(p99),
        'max, ms': Math.round(max),
      },
    ])
    if (left !== 0) throw new Error(`${left} sessions are left`)
  })
}

async function measureCluster(): Promise<void> {
  const count = 20_000
  for (const [name, start] of [
    ['one server', startOne],
    ['Cluster of three', startCluster],
  ] as const) {
    await withEnding(async ({ after }) => {
      const { url, servers, close } = await start()
      after(close)
      const store = openStore(url)
      after(() => store.close())
      await untilReady(store)
      const ids: string[] = []
      const rows = [
        await timed('create', servers, count, async (i) => {
          ids[i] = await create(store, i)
        }),
        await timed('read', servers, count, async (i) => {
          if (!(await store.read(ids[i] ?? ''))) throw new Error('A session is missing')
        }),
        await timed('replace', servers, count, async (i) => {
          const { outcome } = await store.replace(ids[i] ?? '', randomBytes(2000), 1)
          if (outcome !== 'replaced') throw new Error(outcome)
        }),
        await timed('lock and release', servers, count, async (i) => {
          const taken = await store.lock(ids[i] ?? '', 5000)
          if (taken.outcome !== 'acquired') throw new Error(taken.outcome)
          await taken.lock.release()
        }),
      ]
      console.log(name)
      console.table(rows)
    })
  }
}

async function startOne() {
  const server = await startRedis()
  return { url: server.url, servers: [server], close: server.close }
}

async function timed(what: string, servers: RedisServer[], count: number, act: (i: number) => Promise<void>) {
  for (const server of servers) await server.send('CONFIG RESETSTAT')
  const startedAt = performance.now()
  await inParallel(count, act)
  const seconds = (performance.now() - startedAt) / 1000
  const shares = await Promise.all(
    servers.map(
      async (server) => Object.values(await commands(server)).reduce((sum, n) => sum + n, 0) / seconds,
    ),
  )
  return {
    '': what,
    'sessions/s': Math.round(count / seconds),
    'commands/s, by server': shares.map(Math.round).join(' · '),
  }
}

function openStore(redisUrl: string): SessionStore {
  return createStore({ redisUrl, storeTimeoutMs: 30_000, clock: systemClock }).store
}

/** Sealed records and profiles of different sessions. Compressing one takes longer than storing it, so they are used again. */
const samples = Array.from({ length: 500 }, (_, i) => {
  const [id, now] = [randomBytes(32).toString('base64url'), Date.now()]
  return {
    sealed: seal(record(`user-${i}`, now), { key: randomBytes(32), id, version: 1 }),
    profile: createSessionProfiles([Buffer.from(sessionKey, 'base64')]).seal(id, {
      lastUsedAt: now,
      userAgent:
        'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
      address: '192.0.2.1',
    }),
  }
})

/** Stores a session as a login does. @returns its identifier in the store */
async function create(store: SessionStore, i: number, issuer = 'http://localhost:4000'): Promise<string> {
  const id = randomBytes(32).toString('base64url')
  const sid = randomBytes(16).toString('base64url')
  const indexes = [subjectIndex(issuer, 'demo', `user-${i}`), sidIndex(issuer, 'demo', sid)]
  const { sealed, profile } = samples[i % samples.length] ?? {}
  await store.create(id, { sealed: sealed ?? Buffer.alloc(0), profile, ttlMs: 8 * 3_600_000, indexes })
  return id
}

/** With two JWTs of 1.2 KB. */
function record(subject: string, now: number): SessionRecord {
  const issuer = 'http://localhost:4000'
  const claims = { name: 'Alice Example', email: `${subject}@example.com`, email_verified: true }
  return {
    issuer,
    subject,
    sid: randomBytes(16).toString('base64url'),
    claims,
    createdAt: now,
    renewals: 0,
    tokenSet: {
      accessToken: jwt({ iss: issuer, sub: subject, ...claims }),
      idToken: jwt({ iss: issuer, sub: subject, nonce: randomBytes(16).toString('base64url'), ...claims }),
      refreshToken: randomBytes(200).toString('base64url'),
      tokenType: 'bearer',
      obtainedAt: now,
      expiresAt: now + 300_000,
    },
  }
}

function jwt(claims: object): string {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const roles = Array.from({ length: 8 }, () => randomBytes(16).toString('hex'))
  const payload = {
    ...claims,
    aud: 'urn:bench:api',
    exp: 1_900_000_000,
    jti: randomBytes(16).toString('hex'),
    roles,
  }
  return `${encoded({ alg: 'RS256', typ: 'JWT', kid: 'bench' })}.${encoded(payload)}.${randomBytes(256).toString('base64url')}`
}

async function inParallel(count: number, act: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await act(i)
  }
  await Promise.all(Array.from({ length: Math.min(parallel, count) }, worker))
}

async function untilReady(store: SessionStore): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await store.ping()
    } catch (error) {
      if (tries === 100) throw error
    }
  }
}

/** Calls of each command since `CONFIG RESETSTAT`, without those of the measurement and of heartbeats. */
async function commands(redis: RedisServer): Promise<Record<string, number>> {
  const text = await redis.send('INFO commandstats')
  const calls = [...text.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)].map(
    ([, name = '', n]) => [name, Number(n)] as const,
  )
  return Object.fromEntries(
    calls.filter(([name]) => !/^(info|config|ping|cluster|command|client|hello)/.test(name)),
  )
}

async function usedMemory(redis: RedisServer): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.send('INFO memory'))?.[1])
}

async function records(redis: RedisServer): Promise<number> {
  const text = await redis.send(
    "EVAL \"local n, c = 0, '0' repeat local r = redis.call('SCAN', c, 'MATCH', '*:record', 'COUNT', 10000) c = r[1] n = n + #r[2] until c == '0' return n\" 0",
  )
  return Number(text.match(/\d+/)?.[0])
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}
