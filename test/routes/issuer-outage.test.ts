import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { until } from '../support/until.ts'

test('a gateway whose issuer is down starts, reports it in /readyz, and recovers without a restart', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  await issuer.close()
  const clock = createFakeClock(Date.now())
  const { app, newBrowser, log } = await startInjectGateway(t, { issuer, extras: { clock } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await until(() => log().includes('issuer.unreachable'))

  assert.equal((await app.inject('/healthz')).statusCode, 200)
  const ready = await app.inject('/readyz')
  assert.equal(ready.statusCode, 503)
  assert.equal(ready.headers['cache-control'], 'no-store')
  assert.deepEqual(ready.json(), { status: 'not ready', missing: ['issuer metadata'] })

  const browser = newBrowser()
  const login = await browser.call('/bff/login')
  assertError(login, 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
  assert.match(String(login.headers['retry-after']), /^[1-9]\d*$/)
  assert.deepEqual(setCookies(login), [])
  assert.doesNotMatch(login.body, /localhost|ECONNREFUSED/)
  const page = await browser.open('/bff/login')
  assert.equal(page.statusCode, 503)
  assert.match(page.body, /Identity provider unavailable/)
  // Endpoints that need no issuer work.
  assert.equal((await browser.call('/bff/session')).statusCode, 200)

  await issuer.reopen()
  await clock.advance(1000)

  await until(async () => (await app.inject('/readyz')).statusCode === 200)
  assert.equal((await browser.signIn()).statusCode, 302)
})

test('a login fetches the metadata if nothing has yet', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  await issuer.close()
  const { app, newBrowser } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  assert.equal((await browser.call('/bff/login')).statusCode, 503)

  await issuer.reopen()

  assert.equal((await browser.signIn()).statusCode, 302)
  assert.deepEqual((await app.inject('/readyz')).json(), { status: 'ready' })
})

test('changed issuer metadata are used an hour later, without a restart', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const clock = createFakeClock(Date.now())
  const { newBrowser } = await startInjectGateway(t, { issuer, extras: { clock } })
  const wayIn = async () => (await newBrowser().beginLogin()).pathname
  assert.equal(await wayIn(), '/auth')
  issuer.rewrite(metadataPath, (metadata) =>
    Object.assign(metadata, { authorization_endpoint: `${issuer.issuer}/moved` }),
  )

  await clock.advance(3_600_000)

  assert.equal(await wayIn(), '/auth')
  await until(async () => (await wayIn()) === '/moved')
})

test('metadata of another issuer, and invalid ones, are rejected', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser, app } = await startInjectGateway(t, { issuer })
  const faults: Parameters<typeof issuer.rewrite>[1][] = [
    (metadata) => Object.assign(metadata, { issuer: 'https://evil.example' }),
    (_metadata, ctx) => Object.assign(ctx, { body: '<p>hello' }),
    (_metadata, ctx) => Object.assign(ctx, { status: 500 }),
    (_metadata, ctx) => Object.assign(ctx, { body: {} }),
    (metadata) => Object.assign(metadata, { authorization_endpoint: undefined }),
    (metadata) => Object.assign(metadata, { authorization_endpoint: 'javascript:alert(1)' }),
    (metadata) => Object.assign(metadata, { token_endpoint: 'nonsense' }),
  ]
  for (const fault of faults) {
    issuer.rewrite(metadataPath, fault)
    assertError(await newBrowser().call('/bff/login'), 503, 'BFF_ISSUER_UNAVAILABLE', {
      tokenManagementUsed: true,
    })
    assert.equal((await app.inject('/readyz')).statusCode, 503)
  }
  issuer.rewrite(metadataPath)
  assert.equal((await newBrowser().signIn()).statusCode, 302)
})

test('if the metadata name another issuer, the log has both names', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  issuer.rewrite(metadataPath, (metadata) => Object.assign(metadata, { issuer: `${issuer.issuer}/realm` }))
  const { newBrowser, app, log } = await startInjectGateway(t, { issuer })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await until(() => log().includes('issuer.unreachable'))

  assert.ok(log().includes(`configured as ${issuer.issuer}/, and calls itself ${issuer.issuer}/realm:`))
  assert.doesNotMatch((await newBrowser().call('/bff/login')).body, /realm/)
})

test('an issuer without PKCE support is logged as a warning once, one that does not mention PKCE as information', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const clock = createFakeClock(Date.now())
  for (const [methods, level, event] of [
    [['plain'], 40, 'issuer.pkce.unsupported'],
    [undefined, 30, 'issuer.pkce.unsaid'],
    [['plain', 'S256'], undefined, undefined],
  ] as const) {
    let asked = 0
    issuer.rewrite(metadataPath, (metadata) => {
      asked++
      metadata['code_challenge_methods_supported'] = methods
    })
    const { newBrowser, log } = await startInjectGateway(t, { issuer, extras: { clock } })
    // S256 is used in any case.
    const { searchParams } = await newBrowser().beginLogin()
    assert.equal(searchParams.get('code_challenge_method'), 'S256')
    await clock.advance(3_600_000)
    await newBrowser().beginLogin()
    await until(() => asked === 2)
    await newBrowser().signIn()

    const lines = log()
      .split('\n')
      .filter((line) => line.includes('issuer.pkce'))
      .map((line) => JSON.parse(line))
    assert.deepEqual(
      lines.map((line) => [line.level, line.event]),
      event ? [[level, event]] : [],
    )
  }
})

test('an issuer that fails after its metadata are known leaves the gateway ready and sessions alive', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const { newBrowser, app } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn()
  const callback = await browser.authorize(await browser.beginLogin())

  await issuer.close()

  assert.equal((await app.inject('/readyz')).statusCode, 200)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  // Another login fails, and the existing session stays.
  assertError(await browser.call(callback), 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('closing does not wait for an issuer that is down', async (t) => {
  const issuer = await startIssuer()
  await issuer.close()
  const clock = createFakeClock(Date.now())
  const { app, log } = await startInjectGateway(t, { issuer, extras: { clock } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await until(() => log().includes('issuer.unreachable'))

  await app.close()

  assert.equal(clock.sleeping, 0)
})
