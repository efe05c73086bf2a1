import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { decodeJwt } from 'jose'
import { startTimeApi } from '../../demo/time-api.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { readReference, type SessionReference } from '../../plugins/session/session-reference.ts'
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts'
import { type FaultyIssuer, startFaultyIssuer } from '../support/faulty-issuer.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

const audience = 'urn:test:time-api'
const minute = 60_000

interface World {
  issuer: FaultyIssuer
  clock: FakeClock
  gateway: InjectGateway
  /** Signed in as alice. */
  browser: InjectBrowser
  /** `sid` of that session. */
  sid: string
  /** Another process with the same configuration. */
  startAnother(): Promise<InjectGateway>
}

async function start(
  t: TestContext,
  more: Record<string, string> = {},
  prepare: (issuer: FaultyIssuer) => void = () => {},
): Promise<World> {
  const issuer = await startFaultyIssuer({ apiAudience: audience })
  t.after(() => issuer.close())
  prepare(issuer)
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience })
  t.after(() => timeApi.close())
  const clock = createFakeClock(Date.now())
  const env = {
    API_URL: timeApi.url,
    SESSION_KEYS: newKey(),
    SESSION_IDLE_TIMEOUT: '30m',
    OIDC_SCOPE: 'openid offline_access time:read',
    ...more,
  }
  const startAnother = () => startInjectGateway(t, { issuer, env, extras: { clock } })
  const gateway = await startAnother()
  const browser = gateway.newBrowser()
  await browser.signIn()
  const { sid } = (await browser.call('/bff/session')).json()
  return { issuer, clock, gateway, browser, sid, startAnother }
}

type Line = Record<string, unknown>

const adminToken = newKey()

function linesOf({ log }: InjectGateway): Line[] {
  return log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/**
 * "Why was this user signed out?", by the lines only, as docs/runbook.md says: the sessions that the user has begun, and
 * the lines about their ends.
 */
function whySignedOut(user: string, ...gateways: InjectGateway[]): Line[] {
  const lines = gateways.flatMap(linesOf)
  const begun = lines.filter((line) => line['event'] === 'session.started' && line['user'] === user)
  const hashes = new Set(begun.map(({ sessionHash }) => sessionHash))
  return lines.filter(({ event, sessionHash }) => event === 'session.ended' && hashes.has(sessionHash))
}

interface Cause {
  env?: Record<string, string>
  prepare?(issuer: FaultyIssuer): void
  /** Ends the session of alice that the world has. */
  end(world: World): Promise<unknown>
  /** What else the line says. */
  fields?(world: World): Line
}

const causes: Record<string, Cause> = {
  logout: { end: ({ browser, sid }) => browser.open(`/bff/logout?sid=${sid}`) },

  replaced: { end: ({ browser }) => browser.signIn() },

  backchannel_logout: {
    async end({ gateway: { app }, issuer }) {
      const claims = logoutClaims(issuer, { sub: 'alice' })
      const token = await issuer.sign(claims, { typ: 'logout+jwt' })
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const payload = String(new URLSearchParams({ logout_token: token }))
      const answer = await app.inject({ method: 'POST', url: '/bff/backchannel-logout', headers, payload })
      assert.equal(answer.statusCode, 200, answer.body)
    },
    fields: () => ({ sub: hashForLog('alice') }),
  },

  frontchannel_logout: {
    async end({ gateway: { app }, issuer, sid }) {
      const query = new URLSearchParams({ iss: issuer.issuer, sid })
      assert.equal((await app.inject(`/bff/frontchannel-logout?${query}`)).statusCode, 200)
    },
    fields: ({ sid }) => ({ sid: hashForLog(sid) }),
  },

  refused: {
    async end({ clock, issuer, browser }) {
      const body = { error: 'invalid_grant', error_description: 'The account is locked' }
      issuer.rewrite('/token', (_answer, ctx) => Object.assign(ctx, { status: 400, body }))
      await clock.advance(minute)
      assert.equal((await browser.call('/api/gettime')).json().code, 'BFF_SESSION_ENDED')
    },
    fields: () => ({ oauthError: 'invalid_grant', errorDescription: 'The account is locked' }),
  },

  expired: {
    prepare: (issuer) =>
      issuer.rewrite('/token', (answer) => Object.assign(answer, { refresh_token: undefined })),
    async end({ clock, browser }) {
      await clock.advance(minute)
      assert.equal((await browser.call('/api/gettime')).json().code, 'BFF_SESSION_ENDED')
    },
  },

  foreign_identity: {
    async end({ clock, issuer, browser }) {
      issuer.rewrite('/token', async (answer) => {
        const claims = decodeJwt(String(answer['id_token']))
        answer['id_token'] = await issuer.sign({ ...claims, sub: 'mallory' })
      })
      await clock.advance(minute)
      assert.equal((await browser.call('/api/gettime')).json().code, 'BFF_SESSION_ENDED')
    },
  },

  idle: { end: ({ clock }) => clock.advance(31 * minute) },

  lifetime: {
    env: { SESSION_LIFETIME: '1h' },
    async end({ clock, browser }) {
      for (let used = 0; used < 3; used++) {
        await clock.advance(19 * minute)
        assert.equal((await browser.call('/bff/user')).statusCode, 200)
      }
      await clock.advance(5 * minute)
    },
  },

  evicted_by_user_limit: {
    env: { SESSION_MAX_PER_USER: '1' },
    end: ({ gateway }) => gateway.newBrowser().signIn(),
  },

  admin: {
    env: { ADMIN_PORT: '0', ADMIN_TOKEN: adminToken },
    async end({ gateway }) {
      const [line] = linesOf(gateway).filter(({ event }) => event === 'admin.listening')
      const origin = /http:\S+/.exec(String(line?.['msg']))?.[0] ?? assert.fail('no administration')
      const headers = { authorization: `Bearer ${adminToken}` }
      const answer = await fetch(`${origin}/sessions?sub=alice`, { method: 'DELETE', headers })
      assert.deepEqual(await answer.json(), { ended: 1 })
    },
  },
}

for (const [reason, { env, prepare, end, fields }] of Object.entries(causes)) {
  test(`the log answers why a user was signed out: ${reason}`, async (t) => {
    const world = await start(t, env, prepare)
    const { gateway, browser } = world
    assert.deepEqual(whySignedOut('alice', gateway), [])

    await end(world)

    for (let i = 0; i < 3 && reason !== 'replaced'; i++)
      assert.equal((await browser.call('/api/gettime')).statusCode, 401)
    const [line, ...others] = whySignedOut('alice', gateway)
    assert.deepEqual(others, [])
    assert.ok(line, 'the log has no answer')
    assert.deepEqual([line['level'], line['reason']], [30, reason])
    for (const [name, value] of Object.entries(fields?.(world) ?? {})) assert.equal(line[name], value, name)
    assert.ok(Math.abs(Number(line['time']) - Date.now()) < 60_000)
  })
}

test('the log answers why a user was signed out: lost, with the memory of a process', async (t) => {
  const { gateway, browser, startAnother } = await start(t)
  await gateway.app.close()
  const restarted = await startAnother()
  const same = restarted.newBrowser()
  same.cookies.store(restarted.publicUrl, [`bff=${browser.cookies.get('bff')?.value}; Path=/`])

  for (let i = 0; i < 3; i++) assert.equal((await same.call('/api/gettime')).statusCode, 401)

  assert.deepEqual(
    whySignedOut('alice', gateway, restarted).map(({ reason }) => reason),
    ['lost'],
  )
})

test('a session that Redis lost is reported once by all processes, also after it was used for longer than its idle timeout', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.close())
  const client = new Redis(redis.url)
  t.after(() => client.quit())
  const { gateway, browser, clock, startAnother } = await start(t, { REDIS_URL: redis.url })
  const another = await startAnother()
  const elsewhere = another.newBrowser()
  elsewhere.cookies.store(another.publicUrl, [`bff=${browser.cookies.get('bff')?.value}; Path=/`])
  await clock.advance(29 * minute)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  await clock.advance(29 * minute)
  await client.flushall()
  // What it has just read it may use for another two seconds.
  await until(async () => (await browser.call('/api/gettime')).statusCode === 401)
  await browser.call('/api/gettime')

  const answers = await Promise.all(
    [browser, browser, elsewhere, elsewhere].map((each) => each.call('/api/gettime')),
  )

  assert.deepEqual(
    answers.map(({ statusCode }) => statusCode),
    [401, 401, 401, 401],
  )
  assert.deepEqual(
    whySignedOut('alice', gateway, another).map(({ reason }) => reason),
    ['lost'],
  )
})

test('a session that was ended on purpose is never reported as expired or lost, however late its cookie comes back', async (t) => {
  const { gateway, browser, clock, sid } = await start(t)
  const thief = gateway.newBrowser()
  thief.cookies.store(gateway.publicUrl, [`bff=${browser.cookies.get('bff')?.value}; Path=/`])
  await browser.open(`/bff/logout?sid=${sid}`)
  for (const minutes of [0, 5, 20]) {
    await clock.advance(minutes * minute)
    assert.equal((await thief.call('/api/gettime')).statusCode, 401)
  }
  assert.deepEqual(
    whySignedOut('alice', gateway).map(({ reason }) => reason),
    ['logout'],
  )
})

test('a session that expires while a page watches it is reported at that time', async (t) => {
  const { gateway, clock, browser, sid } = await start(t)
  const session = await gateway.app.sessions.load(referenceOf(gateway, browser), { slide: false })
  assert.equal(session?.record.sid, sid)
  const closing = new EventEmitter() as EventEmitter & { destroyed: boolean; destroy(): void }
  closing.destroyed = false
  const ended = new Promise<string>((resolve) => {
    gateway.app.openStreams.open(session, Object.assign(closing, { destroy() {} }), () => {}, {
      changed() {},
      ended: resolve,
    })
  })

  await until(() => clock.sleeping > 0)
  await clock.advance(31 * minute)

  assert.equal(await ended, 'idle')
  await until(() => whySignedOut('alice', gateway).length > 0)
  assert.equal((await browser.call('/api/gettime')).statusCode, 401)
  assert.deepEqual(
    whySignedOut('alice', gateway).map(({ reason }) => reason),
    ['idle'],
  )
})

/** What the browser's session cookie holds. */
function referenceOf({ app }: InjectGateway, browser: InjectBrowser): SessionReference {
  const value = decodeURIComponent(browser.cookies.get('bff')?.value ?? '')
  const cookie = app.decodeSecureSession(value, app.log, 'sealedSession')
  return readReference({ id: cookie?.get('id'), key: cookie?.get('key') }) ?? assert.fail('no session cookie')
}

test('a 401 is logged at info with its path, and without the query', async (t) => {
  const { gateway } = await start(t)
  await gateway.newBrowser().call('/api/gettime?token=secret')
  const line = linesOf(gateway).find(({ event }) => event === 'request.unauthorized') ?? assert.fail()
  const { level, code, req } = line
  assert.deepEqual([level, code], [30, 'BFF_SESSION_REQUIRED'])
  const { method, url } = req as Line
  assert.deepEqual([method, url], ['GET', '/api/gettime'])
})
