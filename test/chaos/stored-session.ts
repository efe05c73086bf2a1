import { createHash } from 'node:crypto'
import Fastify from 'fastify'
import { parseRedisUrl } from '../../config/index.ts'
import type { HttpBrowser } from '../../demo/http-browser.ts'
import sessionCookie from '../../plugins/session/cookie/index.ts'
import { seal, unseal } from '../../plugins/session/sealing.ts'
import { type SessionRecord, sessionRecord } from '../../plugins/session/session-record.ts'
import type { SessionReference } from '../../plugins/session/session-reference.ts'
import { createRedisStore } from '../../plugins/session-store/redis.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { sessionKey } from '../support/gateway-process.ts'

/** A session in Redis, unsealed with its browser's cookie. */
export interface StoredSession {
  /** The hash in its store key. */
  id: string
  read(): Promise<SessionRecord | undefined>
  /**
   * Ages the session's access token: it becomes one of ten minutes, of which `ms` are left. The clocks of
   * other processes can't be moved, so this saves waiting until a token is old.
   * @param asRenewed as if another gateway had just renewed it
   */
  leaveTokens(ms: number, asRenewed?: 'as renewed'): Promise<void>
}

/** The lifetime of aged tokens. */
const lifetimeMs = 600_000

/** A connection to the store that is not affected by a test's faults. */
export async function openStore(redisUrl: string) {
  const connection = connectRedis(parseRedisUrl(redisUrl))
  const store = createRedisStore({ connection, storeTimeoutMs: 5000 })
  const cookies = await cookieReader()

  return {
    async sessionOf(browser: HttpBrowser): Promise<StoredSession> {
      const reference = await cookies.read(`bff=${browser.cookies.get('bff')?.value}`)
      const id = createHash('sha256').update(reference.id).digest('base64url')
      const key = Buffer.from(reference.key, 'base64url')
      const load = async () => {
        const stored = await store.read(id)
        const record = stored && sessionRecord(unseal(stored.sealed, { key, id, version: stored.version }))
        return stored && record && { version: stored.version, record }
      }
      return {
        id,
        read: async () => (await load())?.record,
        async leaveTokens(ms, asRenewed) {
          const loaded = await load()
          if (!loaded) throw new Error('The session has ended')
          const { record, version } = loaded
          const expiresAt = Date.now() + ms
          const tokenSet = { ...record.tokenSet, expiresAt, obtainedAt: expiresAt - lifetimeMs }
          const renewals = record.renewals + (asRenewed ? 1 : 0)
          const sealed = seal({ ...record, tokenSet, renewals }, { key, id, version: version + 1 })
          const { outcome } = await store.replace(id, sealed, version)
          if (outcome !== 'replaced') throw new Error(`The session could not be wound: ${outcome}`)
        },
      }
    },

    /** Whether Redis can be reached: after an outage each connection is restored separately. */
    isBack: () =>
      store.read('any').then(
        () => true,
        () => false,
      ),

    /** Whether a gateway renews it, or all are backing off. */
    async isLocked({ id }: StoredSession): Promise<boolean> {
      await connection.ready()
      return (await connection.client.exists(`bff:{${id}}:lock`)) === 1
    },

    /** Milliseconds of every key; -1 for one without a time to live. */
    async timesToLive(): Promise<[key: string, ttlMs: number][]> {
      await connection.ready()
      const keys = await connection.client.keys('*')
      return Promise.all(
        keys.map(async (key): Promise<[string, number]> => [key, await connection.client.pttl(key)]),
      )
    },

    async close() {
      await Promise.all([store.close(), cookies.close()])
    },
  }
}

export type OpenStore = Awaited<ReturnType<typeof openStore>>

async function cookieReader() {
  const app = Fastify()
  await app.register(sessionCookie, {
    name: 'bff',
    sameSite: 'strict',
    secure: false,
    hasForeignPages: false,
    keys: [Buffer.from(sessionKey, 'base64')],
    lifetimeMs: 60 * 60_000,
  })
  app.get('/', async (request) => app.browserCookies.sessionReference(request))
  return {
    async read(cookie: string): Promise<SessionReference> {
      const answer = await app.inject({ url: '/', headers: { cookie } })
      return answer.json()
    },
    close: () => app.close(),
  }
}
