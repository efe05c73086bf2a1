import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { listen, stop } from '../../demo/listen.ts'
import { systemClock } from '../../lib/clock.ts'
import { sidIndex, subjectIndex } from '../../plugins/session/session-indexes.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'

/** As support/write-released-session.ts writes it. */
interface ReleasedSession {
  /** Milliseconds since the epoch. */
  at: number
  issuer: string
  clientId: string
  sessionKeys: string
  cookie: string
  view: {
    sid: string
    identity: object
    cookieLifetime: { issuedUtc: string }
    accessToken: { expiresUtc: string }
  }
  stored: { key: string; type: string; parts: string[] }[]
}

const folder = resolve(import.meta.dirname, '../data/released-sessions')
const files = readdirSync(folder).sort()

test('there is a session of each release', () => {
  const changelog = readFileSync(resolve(import.meta.dirname, '../../CHANGELOG.md'), 'utf8')
  const releases = [...changelog.matchAll(/^## \[(\d[\w.-]*)\]/gm)].map(([, version]) => `${version}.json`)
  assert.deepEqual(files, releases.sort())
})

for (const file of files) {
  const release = file.replace('.json', '')
  test(`a session that release ${release} began goes on: its view, calls with its token, its end by the user`, async (t) => {
    const session: ReleasedSession = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    const { app, tokens } = await startWith(t, session)
    const call = (url: string) =>
      app.inject({
        url,
        headers: {
          host: 'localhost:3000',
          cookie: session.cookie,
          'x-csrf': '1',
          'sec-fetch-site': 'same-origin',
        },
      })

    const view = (await call('/bff/session')).json()
    const { sid, identity, cookieLifetime, accessToken } = session.view
    assert.deepEqual([view.sid, view.identity], [sid, identity])
    assert.equal(view.cookieLifetime.issuedUtc, cookieLifetime.issuedUtc)
    assert.equal(view.accessToken.expiresUtc, accessToken.expiresUtc)

    assert.equal((await call('/api/x')).statusCode, 200)
    assert.match(tokens.join(), /^Bearer \S+$/)

    assert.equal((await call(`/bff/logout?sid=${sid}`)).statusCode, 302)
    assert.equal((await call('/bff/session')).json().isAuthenticated, false)
  })

  test(`a notice of the issuer ends a session that release ${release} began`, async (t) => {
    const session: ReleasedSession = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    const { issuer, clientId, view } = session
    for (const index of [sidIndex(issuer, clientId, view.sid), subjectIndex(issuer, clientId, 'alice')]) {
      const { app } = await startWith(t, session)
      assert.equal((await app.sessionStore.destroyBy(index, 'backchannel_logout')).length, 1)
      assert.deepEqual(await app.sessionStore.destroyBy(index, 'backchannel_logout'), [])
    }
  })
}

/** A gateway with this session in its Redis, at the time when it was written. */
async function startWith(t: TestContext, session: ReleasedSession) {
  const redis = await startRedis()
  t.after(() => redis.close())
  await restore(redis.url, session)
  const tokens: (string | undefined)[] = []
  const api = createServer(({ headers }, response) => {
    tokens.push(headers.authorization)
    response.end('{}')
  })
  const port = await listen(api, 0)
  t.after(() => stop(api))
  const startedAt = Date.now()
  const clock = { ...systemClock, now: () => session.at + Date.now() - startedAt }
  const { app } = await startInjectGateway(t, {
    env: {
      REDIS_URL: redis.url,
      SESSION_KEYS: session.sessionKeys,
      OIDC_ISSUER: session.issuer,
      OIDC_CLIENT_ID: session.clientId,
      API_URL: `http://127.0.0.1:${port}`,
      REFRESH_BEFORE_EXPIRATION: '1s',
    },
    extras: { clock },
  })
  return { app, tokens }
}

async function restore(url: string, { at, stored }: ReleasedSession): Promise<void> {
  const client = new Redis(url)
  try {
    for (const { key, type, parts } of stored) {
      const values = parts.map((part) => Buffer.from(part, 'base64'))
      if (type === 'hash') await client.hset(key, ...values)
      else if (type === 'string') await client.set(key, values[0] ?? '')
      // Scores are ends of sessions, by the clock of Redis.
      else
        for (let i = 0; i < values.length; i += 2)
          await client.zadd(key, Number(values[i + 1]) + Date.now() - at, values[i] ?? '')
      await client.pexpire(key, 3_600_000)
    }
  } finally {
    client.disconnect()
  }
}
