import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type FaultyIssuer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

/** 64 MB that are 64 KB compressed. */
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 'x'))

async function start(t: TestContext) {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer })
  return { ...gateway, issuer, browser: gateway.newBrowser() }
}

function bombard(issuer: FaultyIssuer, path: string): void {
  issuer.rewrite(path, (_answer, ctx) => {
    ctx.set('content-encoding', 'gzip')
    ctx.type = 'json'
    ctx.body = bomb
  })
}

test('a token answer without limit fails the login, and the log says why', async (t) => {
  const { issuer, browser, log } = await start(t)
  const callback = await browser.authorize(await browser.beginLogin())
  bombard(issuer, '/token')
  assert.equal((await browser.open(callback)).statusCode, 400)
  assert.match(log(), /"event":"login\.rejected","reason":"ISSUER_ANSWER_TOO_LARGE"/)
})

test('a key set without limit, or with more than 200 keys, fails the login', async (t) => {
  for (const change of ['bomb', 'keys'] as const) {
    const { issuer, browser, log } = await start(t)
    const callback = await browser.authorize(await browser.beginLogin())
    if (change === 'bomb') bombard(issuer, '/jwks')
    else
      issuer.rewrite('/jwks', (answer) => {
        const [key] = answer['keys'] as object[]
        answer['keys'] = Array.from({ length: 201 }, (_, kid) => ({ ...key, kid: `${kid}` }))
      })
    assert.equal((await browser.open(callback)).statusCode, 400)
    const code = change === 'bomb' ? 'ISSUER_ANSWER_TOO_LARGE' : 'ISSUER_TOO_MANY_KEYS'
    assert.match(log(), new RegExp(`"event":"login\\.rejected","reason":"${code}"`))
  }
})

test('metadata without limit are rejected, and no login begins', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  bombard(issuer, metadataPath)
  const { newBrowser, log } = await startInjectGateway(t, { issuer })
  assert.equal((await newBrowser().open('/bff/login')).statusCode, 503)
  assert.match(log(), /"code":"ISSUER_ANSWER_TOO_LARGE"/)
})

test('an answer without limit to a pushed authorization request begins no login', async (t) => {
  const issuer = await startFaultyIssuer({ requirePushedAuthorizationRequests: true })
  t.after(() => issuer.close())
  bombard(issuer, '/request')
  const { newBrowser, log } = await startInjectGateway(t, { issuer })
  assert.equal((await newBrowser().open('/bff/login')).statusCode, 503)
  assert.match(log(), /did not accept the pushed authorization request: ISSUER_ANSWER_TOO_LARGE/)
})

test('endless answers of UserInfo and revocation stop neither login nor logout', async (t) => {
  const { issuer, browser, log } = await start(t)
  bombard(issuer, '/me')
  assert.equal((await browser.signIn()).statusCode, 302)
  assert.match(log(), /"event":"issuer\.userinfo\.failed","reason":"ISSUER_ANSWER_TOO_LARGE"/)

  bombard(issuer, '/token/revocation')
  assert.equal((await browser.open('/bff/logout')).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test('an endless answer to a renewal ends no session', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser, log } = await startInjectGateway(t, {
    issuer,
    extras: {
      async localRoutes(app) {
        app.get('/renew', async (request) => {
          await request.accessToken({ forceRenewal: true })
          return 'kept'
        })
      },
    },
  })
  const browser = newBrowser()
  await browser.signIn()
  bombard(issuer, '/token')
  assert.equal((await browser.call('/renew')).body, 'kept')
  assert.match(log(), /"event":"token\.renewal\.failed"[^\n]*"reason":"ISSUER_ANSWER_TOO_LARGE"/)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

/** A distributed claim, as OpenID Connect Core section 5.6.2 has it. */
const distributed = {
  _claim_names: { payment_info: 'src1', shipping_address: 'src1' },
  _claim_sources: { src1: { endpoint: 'https://bank.example.com/claims', access_token: 'the-bank-token' } },
}

test('no token in a claim reaches a page, a hook or the log, in any encoding', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  issuer.rewrite('/me', (answer) => {
    Object.assign(answer, distributed, {
      'bff:logout_url': 'https://evil.example/',
      'bff:session_expires_in': 7,
      nested: { deep: [distributed, { refresh_token: 'the-bank-token', city: 'X' }] },
      roles: ['a', 'b'],
      verified: true,
    })
  })
  const seen: unknown[] = []
  const { newBrowser, log } = await startInjectGateway(t, {
    issuer,
    extras: {
      hooks: {
        onClaims(claims) {
          seen.push(claims)
          return claims
        },
        onLogin: (session) => void seen.push(session),
        onLogout: (session) => void seen.push(session),
      },
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  const user = await browser.call('/bff/user')
  const others = [await browser.call('/bff/session'), await browser.call('/bff/diagnostics')]
  await browser.open('/bff/logout')

  for (const text of [user.body, ...others.map(({ body }) => body), JSON.stringify(seen), log()])
    assert.doesNotMatch(text, /the-bank-token|_claim_|evil\.example/)
  const claims: { type: string; value: unknown }[] = user.json()
  const valuesOf = (name: string) => claims.filter(({ type }) => type === name).map(({ value }) => value)
  assert.deepEqual(valuesOf('nested'), ['{"deep":[{},{"city":"X"}]}'])
  assert.deepEqual(valuesOf('roles'), ['a', 'b'])
  assert.deepEqual(valuesOf('verified'), ['true'])
  assert.equal(valuesOf('bff:logout_url').length, 1)
  assert.equal(seen.length, 3)
})

test('a name of a megabyte is not logged in each line', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  issuer.rewrite('/me', (answer) => {
    answer['name'] = 'x'.repeat(1_000_000)
  })
  const { newBrowser, log } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn()
  await browser.call('/bff/user')
  await browser.open('/bff/logout')
  const longest = Math.max(
    ...log()
      .split('\n')
      .map(({ length }) => length),
  )
  assert.ok(longest < 2000, `${longest} characters`)
  assert.match(log(), /"user":"x{199}…"/)
})
