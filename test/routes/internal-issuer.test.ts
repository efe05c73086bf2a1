import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { locationOf } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'

const extras = {
  async localRoutes(app: FastifyInstance) {
    app.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  },
}

/** Whether the metadata name the address of the request, as oidc-provider's do, or the public one. */
for (const dynamic of [true, false]) {
  const naming = dynamic ? 'the address of the request' : 'public URLs'
  test(`with OIDC_INTERNAL_URL only the browser uses the public address, at an issuer whose metadata name ${naming}`, async (t) => {
    const issuer = await startFaultyIssuer()
    t.after(() => issuer.close())
    const [shown, internal] = [issuer.issuer, `http://127.0.0.1:${issuer.port}`]
    const requests: { host: string; path: string }[] = []
    issuer.provider.use(async (ctx, next) => {
      requests.push({ host: ctx.hostname, path: ctx.path })
      await next()
    })
    if (!dynamic)
      issuer.rewrite(metadataPath, (metadata, ctx) => {
        ctx.body = JSON.parse(JSON.stringify(metadata).replaceAll(internal, shown))
      })
    const env = { OIDC_INTERNAL_URL: internal }
    const { app, newBrowser, log } = await startInjectGateway(t, { issuer, env, extras })
    const browser = newBrowser()

    const authorizationUrl = await browser.beginLogin()
    assert.equal(authorizationUrl.origin, shown)
    const callback = await browser.authorize(authorizationUrl)
    assert.equal((await browser.open(callback, { 'sec-fetch-site': 'cross-site' })).statusCode, 302)
    assert.equal((await browser.call('/renew')).body, 'renewed')
    const { sid } = (await browser.call('/bff/session')).json()
    const logout = await browser.open(`/bff/logout?sid=${sid}`)
    assert.equal(new URL(locationOf(logout)).origin, shown)

    await browser.signIn()
    const token = await issuer.sign(logoutClaims(issuer, { sub: 'alice' }), { typ: 'logout+jwt' })
    const notice = await app.inject({
      method: 'POST',
      url: '/bff/backchannel-logout',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: String(new URLSearchParams({ logout_token: token })),
    })
    assert.equal(notice.statusCode, 200, notice.body)

    const backChannel = [metadataPath, '/jwks', '/token', '/me', '/token/revocation']
    const sent = requests.filter(({ path }) => backChannel.includes(path))
    assert.deepEqual([...new Set(sent.map(({ path }) => path))].sort(), backChannel.sort())
    assert.deepEqual([...new Set(sent.map(({ host }) => host))], ['127.0.0.1'])
    const others = requests.filter(({ path }) => !backChannel.includes(path))
    assert.deepEqual([...new Set(others.map(({ host }) => host))], ['localhost'])
    assert.doesNotMatch(log(), /issuer\.unreachable|issuer\.userinfo\.failed|revocation\.failed/)
  })
}

test('an issuer that names another issuer at its internal address gets no logins', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const internal = `http://127.0.0.1:${issuer.port}`
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['issuer'] = internal
  })
  const { newBrowser, log } = await startInjectGateway(t, { issuer, env: { OIDC_INTERNAL_URL: internal } })

  const answer = await newBrowser().open('/bff/login')
  assert.equal(answer.statusCode, 503)
  assert.match(log(), /calls itself http:\/\/127\.0\.0\.1/)
})
