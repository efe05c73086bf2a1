import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashSource } from '../../../http/html.ts'
import {
  type ErrorCode,
  errorBody,
  GatewayError,
  retryAfterSeconds,
} from '../../../plugins/errors/catalogue.ts'
import { errorPage, prefersPage } from '../../../plugins/errors/error-page.ts'
import { asGatewayError } from '../../../plugins/errors/gateway-error.ts'
import { StoreUnavailableError } from '../../../plugins/session-store/store.ts'

const secret = 'redis://user:password@10.0.0.7'

test('an error body holds only what a client may know, and nothing of the cause', () => {
  const error = new GatewayError('BFF_UPSTREAM_UNREACHABLE', { cause: new Error(secret) })
  assert.deepEqual(errorBody(error, 'request-1', '/bff/login'), {
    statusCode: 502,
    code: 'BFF_UPSTREAM_UNREACHABLE',
    error: 'Upstream unreachable',
    details: 'The remote API could not be reached',
    requestId: 'request-1',
  })
})

test('an ended session says why, that token management was used, and where to log in', () => {
  assert.deepEqual(errorBody(new GatewayError('BFF_SESSION_ENDED'), 'request-1', '/base/bff/login'), {
    statusCode: 401,
    code: 'BFF_SESSION_ENDED',
    error: 'Failed to get access token',
    details: 'Token error: invalid_grant',
    requestId: 'request-1',
    tokenManagementUsed: true,
    loginUrl: '/base/bff/login',
  })
})

test('only errors that a login fixes have a loginUrl', () => {
  const urlOf = (error: GatewayError) => errorBody(error, 'request-1', '/bff/login').loginUrl
  assert.equal(urlOf(new GatewayError('BFF_SESSION_REQUIRED')), '/bff/login')
  assert.equal(urlOf(new GatewayError('BFF_LOGIN_REJECTED')), '/bff/login')
  assert.equal(urlOf(new GatewayError('BFF_CSRF_REJECTED')), undefined)
  assert.equal(urlOf(new GatewayError('BFF_STORE_UNAVAILABLE')), undefined)
})

test('every 503 has Retry-After, in whole seconds, at least 1', () => {
  const seconds = (retryAfterMs?: number) =>
    retryAfterSeconds(
      new GatewayError('BFF_ISSUER_UNAVAILABLE', retryAfterMs === undefined ? {} : { retryAfterMs }),
    )
  assert.equal(seconds(), 1)
  assert.equal(seconds(1), 1)
  assert.equal(seconds(1001), 2)
  assert.equal(seconds(30_000), 30)
  assert.equal(retryAfterSeconds(new GatewayError('BFF_STORE_UNAVAILABLE')), 1)
  assert.equal(retryAfterSeconds(new GatewayError('BFF_SESSION_REQUIRED')), undefined)
})

test('a store that does not answer is 503, its cause kept for the log', () => {
  const cause = new StoreUnavailableError(new Error(secret))
  const error = asGatewayError(cause)
  assert.ok(error instanceof GatewayError)
  assert.equal(error.code, 'BFF_STORE_UNAVAILABLE')
  assert.equal(error.cause, cause)
  assert.ok(!JSON.stringify(errorBody(error, 'request-1', '/bff/login')).includes(secret))
})

test('an unexpected error is a generic 500', () => {
  const unforeseen = [
    new Error(secret),
    new TypeError(secret),
    secret,
    undefined,
    null,
    { statusCode: 400, code: 'X', message: secret },
    Object.assign(new Error(secret), { statusCode: 500, code: 'X' }),
    Object.assign(new Error(secret), { statusCode: '400', code: 'X' }),
    Object.assign(new Error(secret), { statusCode: 200, code: 'X' }),
  ]
  for (const thrown of unforeseen) {
    const error = asGatewayError(thrown)
    assert.ok(error instanceof GatewayError)
    assert.equal(error.code, 'BFF_INTERNAL_ERROR')
    assert.ok(!JSON.stringify(errorBody(error, 'request-1', '/bff/login')).includes(secret))
  }
})

test('an error of the catalogue stays the same', () => {
  const error = new GatewayError('BFF_CSRF_REJECTED')
  assert.equal(asGatewayError(error), error)
})

test('an error page offers to log in again, and escapes what it shows', () => {
  const error = new GatewayError('BFF_LOGIN_REJECTED', { details: '<script>alert("1")</script>' })
  const hostile = `<img src=x onerror='x'>`
  const options = { loginUrl: '/bff/login?a=1&b="', homeUrl: '/', name: hostile }
  const { html } = errorPage(error, { requestId: hostile }, options)
  assert.doesNotMatch(html, /<script|<img|style=/)
  assert.match(html, /<a href="\/bff\/login\?a=1&#38;b=&#34;">Log in again<\/a>/)
})

const urls = { loginUrl: '/bff/login', homeUrl: '/shop/' }

function linksOf(code: ErrorCode, wantedUrl?: string): string[] {
  const { html } = errorPage(new GatewayError(code), { requestId: 'request-1', wantedUrl }, urls)
  return [...html.matchAll(/<a href="([^"]*)">([^<]*)<\/a>/g)].map(([, url, text]) => `${text}: ${url}`)
}

test('an error page offers what helps: a login, another try, or the start page', () => {
  const wanted = '/orders?a=1&b=%20#top'
  const again = '/bff/login?returnUrl=%2Forders%3Fa%3D1%26b%3D%2520%23top'
  const back = 'Go back without logging in: /orders?a=1&#38;b=%20#top'
  for (const code of ['BFF_LOGIN_REJECTED', 'BFF_SESSION_REQUIRED', 'BFF_LOGIN_LOOP'] as const) {
    assert.deepEqual(linksOf(code), ['Log in again: /bff/login'])
    assert.deepEqual(linksOf(code, wanted), [`Log in again: ${again}`, back])
  }
  for (const code of [
    'BFF_STORE_UNAVAILABLE',
    'BFF_ISSUER_UNAVAILABLE',
    'BFF_UPSTREAM_UNREACHABLE',
    'BFF_INTERNAL_ERROR',
    'BFF_RATE_LIMITED',
  ] as const) {
    assert.deepEqual(linksOf(code), ['Try again: '])
    assert.deepEqual(linksOf(code, wanted), [`Try again: ${again}`, back])
  }
  for (const code of ['BFF_NOT_FOUND', 'BFF_INVALID_RETURN_URL', 'BFF_LOGOUT_REJECTED'] as const)
    assert.deepEqual(linksOf(code), ['Go to the start page: /shop/'])
})

test('an error page has the name and colour of the frontend, and text on it that can be read', () => {
  const page = (color?: string) =>
    errorPage(
      new GatewayError('BFF_LOGIN_REJECTED'),
      { requestId: 'request-1' },
      { ...urls, name: 'A&B', color },
    )
  const { html, headers } = page('#fc0')
  assert.match(html, /<title>Login failed · A&#38;B<\/title>/)
  assert.match(html, /<p class="name">A&#38;B<\/p>/)
  const [, style = ''] = /<style>(.*)<\/style>/s.exec(html) ?? []
  assert.equal(
    headers['content-security-policy'],
    `default-src 'none';style-src ${hashSource(style)};frame-ancestors 'self'`,
  )
  const textOn = (color: string) => /background:(.*?);color:(.*?);/.exec(page(color).html)?.slice(1)
  assert.deepEqual(textOn('#fc0'), ['#fc0', '#000'])
  assert.deepEqual(textOn('#ffcc00'), ['#ffcc00', '#000'])
  assert.deepEqual(textOn('#2457a6'), ['#2457a6', '#fff'])
  assert.match(page().html, /background:#2457a6/)
})

test('a client that accepts text/html gets a page, others get JSON', () => {
  assert.ok(prefersPage('text/html,application/xhtml+xml,*/*;q=0.8'))
  assert.ok(!prefersPage('*/*'))
  assert.ok(!prefersPage('application/json'))
  assert.ok(!prefersPage(undefined))
})
