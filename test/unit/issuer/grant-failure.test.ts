import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { grantFailure } from '../../../plugins/issuer/grant-failure.ts'

const now = Date.UTC(2026, 0, 1)
const secret = 'what-the-issuer-wrote'

/** The failure made of what openid-client throws for this answer of the token endpoint. */
async function failureOf(answer: () => Response | Promise<Response>) {
  const issuer = 'https://login.example.com'
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  configuration[oidc.customFetch] = async () => answer()
  const error = await oidc.refreshTokenGrant(configuration, 'token').then(
    () => assert.fail('the grant succeeded'),
    (thrown: unknown) => thrown,
  )
  return grantFailure(error, now)
}

function oauthError(error: string, status = 400, headers = {}): Response {
  return Response.json({ error, error_description: secret }, { status, headers })
}

const json = { 'content-type': 'application/json' }

test('an invalid refresh token is a final refusal, by the standard code and by codes of issuers that deviate', async () => {
  const dead = [
    'invalid_grant',
    'invalid_token',
    'invalid_refresh_token',
    'bad_refresh_token',
    'expired_token',
  ]
  for (const code of dead) {
    for (const status of [400, 401, 403]) {
      assert.deepEqual(await failureOf(() => oauthError(code, status)), {
        outcome: 'refused',
        oauthError: code,
        errorDescription: secret,
      })
    }
  }
})

test('an issuer that needs the user, or has withdrawn access, refuses finally', async () => {
  const codes =
    'interaction_required login_required consent_required account_selection_required mfa_required invalid_account access_denied user_disabled insufficient_user_authentication'
  for (const code of codes.split(' ')) {
    // In a request for one API's token, it concerns that API only.
    const expected = { outcome: 'refused', oauthError: code, errorDescription: secret, requestSpecific: true }
    for (const status of [400, 403])
      assert.deepEqual(await failureOf(() => oauthError(code, status)), expected)
  }
})

test('an error of the request that could mean an invalid refresh token is distinguished from those that could not', async () => {
  const isRefusal = async (code: string, status = 400) => {
    const failure = await failureOf(() => oauthError(code, status))
    return failure.outcome === 'failed' && failure.refusal !== undefined
  }
  for (const code of ['invalid_request', 'token_inactive', 'something_of_their_own', 'E42']) {
    assert.equal(await isRefusal(code), true, code)
    assert.equal(await isRefusal(code, 403), true, code)
    for (const status of [401, 404, 408, 429, 500, 503])
      assert.equal(await isRefusal(code, status), false, code)
  }
  const others =
    'invalid_client unauthorized_client invalid_scope unsupported_grant_type server_error temporarily_unavailable slow_down use_dpop_nonce invalid_dpop_proof client_disabled invalid_client_metadata rate_limit_exceeded too_many_requests internal_error'
  for (const code of others.split(' ')) {
    for (const status of [400, 403]) assert.equal(await isRefusal(code, status), false, code)
  }
})

test('an error is recognised although a WWW-Authenticate challenge comes with it', async () => {
  const challenge = { 'www-authenticate': 'Bearer realm="x", error="invalid_token"' }
  assert.deepEqual(await failureOf(() => oauthError('invalid_grant', 400, challenge)), {
    outcome: 'refused',
    oauthError: 'invalid_grant',
    errorDescription: secret,
  })
  assert.partialDeepStrictEqual(await failureOf(() => oauthError('invalid_client', 401, challenge)), {
    outcome: 'failed',
    reason: 'client_authentication_rejected',
  })
  for (const body of [secret, 'null', '[]', '{"error":1}']) {
    const answer = () => new Response(body, { status: 401, headers: { ...json, ...challenge } })
    assert.deepEqual(await failureOf(answer), { outcome: 'failed', reason: 'client_authentication_rejected' })
  }
})

test('the logged error_description is short, one line, and holds nothing that could be a token', async () => {
  const described = async (error: string, description: unknown) => {
    const failure = await failureOf(() =>
      Response.json({ error, error_description: description }, { status: 400 }),
    )
    return failure.outcome === 'refused' ? failure : failure.outcome === 'failed' && failure.refusal
  }
  const token = 'x'.repeat(10) + '_-.4'.repeat(10)
  for (const [description, expected] of [
    ['The token was revoked', 'The token was revoked'],
    [`Token "${token}" of a\r\n\u0000 user`, 'Token "…" of a user'],
    ['word '.repeat(1000), 'word '.repeat(40)],
  ] as const) {
    assert.deepEqual(await described('invalid_grant', description), {
      outcome: 'refused',
      oauthError: 'invalid_grant',
      errorDescription: expected,
    })
  }
  for (const code of [token, 'A code', '<script>', 'x'.repeat(65)])
    assert.deepEqual(await described(code, 'why'), { oauthError: 'unknown_error', errorDescription: 'why' })
})

const failures: [what: string, answer: () => Response, reason: string][] = [
  ['a wrong client secret', () => oauthError('invalid_client', 401), 'invalid_client'],
  [
    'a challenge to authenticate',
    () => new Response(null, { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }),
    'client_authentication_rejected',
  ],
  ['an unauthorized client', () => oauthError('unauthorized_client'), 'unauthorized_client'],
  ['a malformed request', () => oauthError('invalid_request'), 'invalid_request'],
  ['a scope no longer granted', () => oauthError('invalid_scope'), 'invalid_scope'],
  [
    'a temporarily unavailable issuer',
    () => oauthError('temporarily_unavailable', 400),
    'temporarily_unavailable',
  ],
  ['an error that is no valid code', () => oauthError(secret), 'OAUTH_RESPONSE_BODY_ERROR'],
  ['too many requests', () => oauthError('slow_down', 429), 'slow_down'],
  ['too many requests, in plain text', () => new Response(secret, { status: 429 }), 'http_429'],
  ['a server error', () => new Response(secret, { status: 500 }), 'http_500'],
  ['a server error in JSON', () => Response.json({ message: secret }, { status: 503 }), 'http_503'],
  ['too many requests, as invalid_grant', () => oauthError('invalid_grant', 429), 'invalid_grant'],
  ['invalid_grant as a server error', () => oauthError('invalid_grant', 500), 'http_500'],
  [
    'a page instead of JSON',
    () => new Response(`<p>${secret}`, { headers: { 'content-type': 'text/html' } }),
    'OAUTH_RESPONSE_IS_NOT_JSON',
  ],
  ['broken JSON', () => new Response(`{"${secret}`, { headers: json }), 'OAUTH_PARSE_ERROR'],
  ['an answer without a token', () => Response.json({ note: secret }), 'OAUTH_INVALID_RESPONSE'],
  [
    'a redirect',
    () => new Response(null, { status: 302, headers: { location: 'https://x.example' } }),
    'http_302',
  ],
]
for (const [what, answer, reason] of failures)
  test(`${what} is a transient failure, with a reason for the log`, async () => {
    const failure = await failureOf(answer)
    assert.ok(failure.outcome === 'failed')
    assert.equal(failure.reason, reason)
    assert.notEqual(failure.refusal?.oauthError, secret)
  })

test('no connection and no answer in time are transient failures', async () => {
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  assert.deepEqual(
    await failureOf(() => {
      throw new TypeError('fetch failed', { cause: refused })
    }),
    { outcome: 'failed', reason: 'ECONNREFUSED' },
  )
  assert.deepEqual(
    await failureOf(() => {
      throw new DOMException('late', 'TimeoutError')
    }),
    { outcome: 'failed', reason: 'OAUTH_TIMEOUT' },
  )
  assert.deepEqual(await grantFailure(new Error(secret), now), { outcome: 'failed', reason: 'Error' })
  assert.deepEqual(await grantFailure(secret, now), { outcome: 'failed', reason: 'unknown' })
})

const retryAfter: [header: string, ms: number | undefined][] = [
  ['7', 7000],
  [' 7 ', 7000],
  ['0', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['', undefined],
  [new Date(now + 90_000).toUTCString(), 90_000],
  [new Date(now - 90_000).toUTCString(), undefined],
]
for (const [header, retryAfterMs] of retryAfter)
  test(`Retry-After: "${header}" ${retryAfterMs ? 'is honoured' : 'is ignored'}`, async () => {
    const failure = await failureOf(() => oauthError('slow_down', 429, { 'retry-after': header }))
    assert.deepEqual(failure, {
      outcome: 'failed',
      reason: 'slow_down',
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  })

test('Retry-After is honoured with any status, with and without JSON', async () => {
  const headers = { 'retry-after': '9' }
  for (const answer of [
    () => new Response('', { status: 503, headers }),
    () => new Response('', { status: 429, headers }),
    () => oauthError('temporarily_unavailable', 400, headers),
  ]) {
    const failure = await failureOf(answer)
    assert.ok(failure.outcome === 'failed')
    assert.equal(failure.retryAfterMs, 9000)
  }
})

test('an issuer that declines one request is distinguished from one that fails', async () => {
  const isRequestSpecific = async (answer: () => Response) => {
    const failure = await failureOf(answer)
    return failure.requestSpecific === true
  }
  for (const error of ['invalid_target', 'invalid_scope', 'unauthorized_client', 'access_denied']) {
    assert.equal(await isRequestSpecific(() => oauthError(error)), true, error)
    // Too many requests is not about the particular request.
    assert.equal(await isRequestSpecific(() => oauthError(error, 429)), false, error)
  }
  for (const error of ['invalid_client', 'temporarily_unavailable', 'server_error']) {
    assert.equal(await isRequestSpecific(() => oauthError(error)), false, error)
  }
})
