import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Answer, startFaultyIssuer } from '../../support/faulty-issuer.ts'
import { startInjectGateway } from '../../support/inject-gateway.ts'

/** The gateway's issuer, with a refresh token that it has just given out. */
async function start(t: TestContext, env: Record<string, string> = {}) {
  const faulty = await startFaultyIssuer()
  t.after(() => faulty.close())
  const { app, newBrowser } = await startInjectGateway(t, { issuer: faulty, env })
  const granted = Promise.withResolvers<string>()
  faulty.rewrite('/token', (answer) => granted.resolve(String(answer['refresh_token'])))
  await newBrowser().signIn()
  faulty.rewrite('/token')
  return { faulty, issuer: app.issuer, refreshToken: await granted.promise }
}

test('a refresh gives an access token, the next refresh token and an ID token', async (t) => {
  const { issuer, refreshToken } = await start(t)
  const answer = await issuer.refresh(refreshToken)
  assert.ok(answer.outcome === 'granted')
  const { tokens } = answer
  assert.equal(tokens.expiresInMs, 30_000)
  assert.ok(tokens.accessToken && tokens.idToken)
  assert.notEqual(tokens.refreshToken, refreshToken)
})

test('an invalid optional field does not lose the tokens, as the refresh token is spent already', async (t) => {
  const flaws: ((answer: Answer) => unknown)[] = [
    (answer) => Object.assign(answer, { id_token: 'no JWT' }),
    (answer) => Object.assign(answer, { id_token: null, scope: null }),
    (answer) => Object.assign(answer, { id_token: '', scope: '' }),
    (answer) => Object.assign(answer, { expires_in: null }),
    (answer) => delete answer['expires_in'],
    (answer) => Object.assign(answer, { expires_in: '30' }),
  ]
  for (const flaw of flaws) {
    const { faulty, issuer, refreshToken } = await start(t)
    faulty.rewrite('/token', flaw)
    const answer = await issuer.refresh(refreshToken)
    assert.ok(answer.outcome === 'granted', String(flaw))
    assert.ok(answer.tokens.refreshToken)
    assert.notEqual(answer.tokens.idToken, '')
  }
})

test('an answer that can not be used does not lose its refresh token, as the other one is spent already', async (t) => {
  const flaws: object[] = [
    { token_type: undefined },
    { token_type: 'mac' },
    { access_token: undefined },
    { expires_in: -1 },
    { expires_in: 'soon' },
    { scope: ['openid'] },
  ]
  for (const flaw of flaws) {
    const { faulty, issuer, refreshToken } = await start(t)
    let next: unknown
    faulty.rewrite('/token', (answer) => {
      next = answer['refresh_token']
      return Object.assign(answer, flaw)
    })
    const answer = await issuer.refresh(refreshToken)
    assert.ok(answer.outcome === 'failed', JSON.stringify(flaw))
    assert.equal(answer.refreshToken, next, JSON.stringify(flaw))
    assert.notEqual(next, refreshToken)
  }
})

test('a refresh token that is omitted, null or empty keeps the old one', async (t) => {
  for (const refresh_token of [null, undefined, '']) {
    const { faulty, issuer, refreshToken } = await start(t)
    faulty.rewrite('/token', (answer, ctx) =>
      Object.assign(ctx, { body: JSON.stringify({ ...answer, refresh_token }), type: 'json' }),
    )
    const answer = await issuer.refresh(refreshToken)
    assert.ok(answer.outcome === 'granted')
    assert.ok(!('refreshToken' in answer.tokens))
  }
})

test('a spent refresh token is refused, and an issuer that is down is no refusal', async (t) => {
  const { faulty, issuer, refreshToken } = await start(t)
  await issuer.refresh(refreshToken)
  assert.partialDeepStrictEqual(await issuer.refresh(refreshToken), {
    outcome: 'refused',
    oauthError: 'invalid_grant',
  })

  await faulty.close()
  const answer = await issuer.refresh(refreshToken)
  assert.ok(answer.outcome === 'failed')
  // An open connection broke, or no new one could be made.
  assert.match(answer.reason, /^(ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET)$/)
})

test('a wrong client secret is not a refusal of the refresh token', async (t) => {
  const { faulty, issuer, refreshToken } = await start(t)
  faulty.rewrite('/token', (_answer, ctx) =>
    Object.assign(ctx, { status: 401, body: { error: 'invalid_client', error_description: 'x' } }),
  )
  assert.deepEqual(await issuer.refresh(refreshToken), { outcome: 'failed', reason: 'invalid_client' })
})

test('a refusal counts with any Content-Type if it is JSON, and an HTML page is no refusal', async (t) => {
  const { faulty, issuer, refreshToken } = await start(t)
  const answerWith = (text: string) =>
    faulty.rewrite('/token', (_answer, ctx) => Object.assign(ctx, { status: 400, body: text, type: 'html' }))
  answerWith('<h1>invalid_grant</h1>')
  assert.deepEqual(await issuer.refresh(refreshToken), { outcome: 'failed', reason: 'http_400' })
  answerWith('{"error":"invalid_grant"}')
  assert.partialDeepStrictEqual(await issuer.refresh(refreshToken), {
    outcome: 'refused',
    oauthError: 'invalid_grant',
  })
})
