import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { GatewayError } from '../../../plugins/errors/catalogue.ts'
import { LoginError } from '../../../plugins/issuer/issuer.ts'
import { pushedAuthorizationUrl } from '../../../plugins/issuer/pushed-authorization.ts'

const now = Date.UTC(2026, 0, 1)
const secret = 'what-the-issuer-wrote'
const issuer = 'https://login.example.com'
const endpoint = `${issuer}/push`

function configurationOf(metadata: Partial<oidc.ServerMetadata> = {}): oidc.Configuration {
  return new oidc.Configuration(
    {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      pushed_authorization_request_endpoint: endpoint,
      ...metadata,
    },
    'gateway',
  )
}

/** Pushes a request to an issuer that answers so. */
function push(answer: (url: string, body: URLSearchParams) => Response | Promise<Response>): Promise<URL> {
  const configuration = configurationOf()
  configuration[oidc.customFetch] = async (url, { body }) => answer(url, body as URLSearchParams)
  return pushedAuthorizationUrl(configuration, new URLSearchParams('state=s&resource=a&resource=b'), {}, now)
}

const failureOf = (answer: () => Response | Promise<Response>): Promise<unknown> =>
  push(answer).then(
    () => assert.fail('the request was taken'),
    (thrown: unknown) => thrown,
  )

test('the whole authorization request is pushed, and the browser gets a reference to it', async () => {
  const pushed: [url: string, body: string][] = []
  const url = await push((url, body) => {
    pushed.push([url, body.toString()])
    return Response.json({ request_uri: 'urn:example:1', expires_in: 1 }, { status: 201 })
  })
  assert.deepEqual(pushed, [[endpoint, 'state=s&resource=a&resource=b&client_id=gateway&response_type=code']])
  assert.equal(url.href, `${issuer}/authorize?request_uri=urn%3Aexample%3A1&client_id=gateway`)
})

const oauthError = (error: string, status = 400, headers = {}) =>
  Response.json({ error, error_description: secret }, { status, headers })
const challenge = { 'www-authenticate': 'Basic realm="x"' }

const declined: [what: string, answer: () => Response, reason: string][] = [
  ['an invalid request', () => oauthError('invalid_request'), 'invalid_request'],
  ['a wrong client secret', () => oauthError('invalid_client', 401), 'invalid_client'],
  [
    'a wrong client secret, with a challenge',
    () => oauthError('invalid_client', 401, challenge),
    'client_authentication_rejected',
  ],
  ['an unauthorized client', () => oauthError('unauthorized_client', 403), 'unauthorized_client'],
  ['a request that is too large', () => oauthError('invalid_request', 413), 'invalid_request'],
  ['an error that is no valid code', () => oauthError(secret), 'OAUTH_RESPONSE_BODY_ERROR'],
]
for (const [what, answer, reason] of declined)
  test(`${what} fails the login, with a reason for the log`, async () => {
    const error = await failureOf(answer)
    assert.ok(error instanceof LoginError)
    assert.equal(error.reason, reason)
    assert.equal(error.oauthError, undefined)
  })

const json = { 'content-type': 'application/json' }
const unavailable: [what: string, answer: () => Response, reason: string][] = [
  ['a server error', () => new Response(secret, { status: 500 }), 'http_500'],
  ['a server error with an OAuth error', () => oauthError('invalid_request', 503), 'http_503'],
  ['too many requests', () => oauthError('invalid_request', 429), 'invalid_request'],
  [
    'too many requests, with a challenge',
    () => oauthError('x', 429, challenge),
    'client_authentication_rejected',
  ],
  ['too many requests, in plain text', () => new Response(secret, { status: 429 }), 'http_429'],
  [
    'a temporarily unavailable issuer',
    () => oauthError('temporarily_unavailable'),
    'temporarily_unavailable',
  ],
  ['an issuer with a server_error', () => oauthError('server_error'), 'server_error'],
  ['nothing at that path', () => new Response(secret, { status: 404 }), 'http_404'],
  ['a redirect', () => new Response(null, { status: 302, headers: { location: '/x' } }), 'http_302'],
  ['a page', () => new Response(secret, { status: 201 }), 'OAUTH_RESPONSE_IS_NOT_JSON'],
  ['broken JSON', () => new Response(secret, { status: 201, headers: json }), 'OAUTH_PARSE_ERROR'],
  ['no reference', () => Response.json({ expires_in: 60 }, { status: 201 }), 'OAUTH_INVALID_RESPONSE'],
]
for (const [what, answer, reason] of unavailable)
  test(`${what} means that the issuer is unavailable, with a reason for the log`, async () => {
    const error = await failureOf(answer)
    assert.ok(error instanceof GatewayError)
    assert.equal(error.code, 'BFF_ISSUER_UNAVAILABLE')
    const { cause } = error
    assert.ok(cause instanceof Error)
    assert.match(cause.message, new RegExp(`: ${reason}`))
    assert.ok(!cause.message.includes(secret))
  })

test('no connection, no answer in time and no such endpoint mean that the issuer is unavailable', async () => {
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  const nowhere = configurationOf({ pushed_authorization_request_endpoint: '' })
  for (const failing of [
    failureOf(() => Promise.reject(new TypeError('fetch failed', { cause: refused }))),
    failureOf(() => Promise.reject(new DOMException('late', 'TimeoutError'))),
    pushedAuthorizationUrl(nowhere, new URLSearchParams(), {}, now).catch((thrown: unknown) => thrown),
  ]) {
    const error = await failing
    assert.ok(error instanceof GatewayError)
    assert.equal(error.code, 'BFF_ISSUER_UNAVAILABLE')
  }
})

test("Retry-After is the issuer's, else one second", async () => {
  const retryAfterOf = async (headers: Record<string, string>) => {
    const error = await failureOf(() => new Response('', { status: 429, headers }))
    return error instanceof GatewayError ? error.retryAfterMs : undefined
  }
  assert.equal(await retryAfterOf({ 'retry-after': '7' }), 7000)
  assert.equal(await retryAfterOf({ 'retry-after': new Date(now + 90_000).toUTCString() }), 90_000)
  assert.equal(await retryAfterOf({}), 1000)
})
