import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import { requestHeaders } from '../../../plugins/upstream/request-headers.ts'

const rules = {
  csrfHeader: 'x-csrf',
  host: 'api.example.com:8443',
  publicHost: 'app.example.com',
  publicScheme: 'https',
  prefix: '/base/api',
  limitsMethods: false,
  cookies: { names: [] as string[], sessionCookies: ['__Host-bff'] },
}
const client = ['192.0.2.1', '198.51.100.2']

const ours = {
  host: 'api.example.com:8443',
  'x-forwarded-for': '192.0.2.1, 198.51.100.2',
  'x-forwarded-host': 'app.example.com',
  'x-forwarded-proto': 'https',
  'x-forwarded-prefix': '/base/api',
}

function sent(incoming: IncomingHttpHeaders, hasBody = true) {
  return requestHeaders(incoming, rules, client, hasBody)
}

/** Which of these headers are forwarded, besides our own. */
function kept(incoming: IncomingHttpHeaders, hasBody?: boolean) {
  const {
    host,
    'x-forwarded-for': _,
    'x-forwarded-host': __,
    'x-forwarded-proto': ___,
    'x-forwarded-prefix': ____,
    ...rest
  } = sent(incoming, hasBody)
  return rest
}

test("the upstream gets its own Host and the client's address", () => {
  assert.deepEqual(sent({ host: 'app.example.com' }), ours)
})

test("the application's headers are forwarded unchanged", () => {
  const headers = {
    accept: 'application/json',
    'accept-encoding': 'br',
    'content-type': 'text/plain',
    'content-length': '3',
    'if-none-match': '"a"',
    range: 'bytes=0-1',
    origin: 'https://app.example.com',
    'x-request-id': 'ü',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  }
  assert.deepEqual(kept(headers), headers)
})

test('several values of one header stay separate', () => {
  assert.deepEqual(kept({ 'x-several': ['a', 'b'] } as IncomingHttpHeaders), { 'x-several': ['a', 'b'] })
})

const removed: Record<string, string[]> = {
  'credentials of the browser': ['cookie', 'authorization', 'proxy-authorization'],
  'the CSRF header': ['x-csrf'],
  'hop-by-hop headers': [
    'connection',
    'keep-alive',
    'proxy-authenticate',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ],
  'an Expect header, which Node has answered': ['expect'],
  'forwarding headers of the client': [
    'forwarded',
    'x-forwarded-port',
    'x-forwarded-server',
    'x-forwarded-client-cert',
    'x-forwarded-user',
    'x-real-ip',
    'x-client-ip',
    'true-client-ip',
    'x-forwarded',
    'forwarded-for',
    'x-cluster-client-ip',
    'appengine-user-ip',
    'cf-connecting-ip',
    'cf-connecting-ipv6',
    'cf-pseudo-ipv4',
    'do-connecting-ip',
    'fastly-client-ip',
    'client-cert',
    'client-cert-chain',
  ],
  'names with _ that some servers read as -': [
    'x_forwarded_for',
    'x_forwarded-host',
    'x_real_ip',
    '_',
    'content_length',
  ],
  'headers that override the path': ['x-original-url', 'x-rewrite-url'],
}

for (const [what, names] of Object.entries(removed)) {
  for (const name of names) {
    test(`removes ${what}: ${name}`, () => assert.deepEqual(kept({ [name]: 'evil' }), {}))
  }
}

for (const name of [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-prefix',
  'host',
]) {
  test(`a forwarding header of the client is replaced: ${name}`, () => {
    assert.deepEqual(sent({ [name]: 'evil' }), ours)
  })
}

test('a CSRF header with a configured name is removed', () => {
  const headers = requestHeaders(
    { 'x-csrf': '1', 'x-app': '1' },
    { ...rules, csrfHeader: 'x-app' },
    client,
    false,
  )
  assert.equal(headers['x-app'], undefined)
  assert.equal(headers['x-csrf'], '1')
})

test('headers named in Connection are removed, in any case and with any space', () => {
  const headers = { connection: 'keep-alive, X-Foo ,\tx-bar,,', 'x-foo': '1', 'x-bar': '2', 'x-baz': '3' }
  assert.deepEqual(kept(headers), { 'x-baz': '3' })
})

test('Connection can not remove headers that the gateway sets', () => {
  const connection = 'host, x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-forwarded-prefix'
  assert.deepEqual(sent({ connection, host: 'evil' }), ours)
})

test('without a body there is no Content-Length', () => {
  assert.deepEqual(kept({ 'content-length': '5' }, false), {})
  assert.deepEqual(kept({ 'content-length': '5' }, true), { 'content-length': '5' })
})

test('with a list of request headers others are removed', () => {
  const incoming = { accept: '*/*', 'accept-language': 'de', 'user-agent': 'x', 'x-custom': '1' }
  const allowed = new Set(['accept-language', 'x-custom'])
  assert.deepEqual(requestHeaders(incoming, { ...rules, allowed }, client, true), {
    ...ours,
    'accept-language': 'de',
    'x-custom': '1',
  })
})

test('headers of the body and of conditional requests pass unlisted', () => {
  const incoming = {
    'content-type': 'text/plain',
    'content-length': '3',
    'content-encoding': 'gzip',
    'if-match': '"a"',
    'if-none-match': '*',
    'if-modified-since': 'Tue, 24 Nov 2026 18:00:00 GMT',
    'if-unmodified-since': 'Tue, 24 Nov 2026 18:00:00 GMT',
    'if-range': '"a"',
  }
  const sent = requestHeaders(incoming, { ...rules, allowed: new Set() }, client, true)
  assert.deepEqual(sent, { ...ours, ...incoming })
})

test('forbidden headers do not pass, even when listed', () => {
  const allowed = new Set(['cookie', 'authorization', 'x-csrf', 'te', 'x-forwarded-for', 'x_a'])
  const incoming = Object.fromEntries([...allowed].map((name) => [name, 'evil']))
  assert.deepEqual(requestHeaders(incoming, { ...rules, allowed }, client, true), ours)
})

test('listed cookies pass', () => {
  const cookies = { ...rules.cookies, names: ['theme'] }
  const incoming = { cookie: '__Host-bff=secret; theme=dark; lang=de' }
  const { cookie } = requestHeaders(incoming, { ...rules, cookies }, client, true)
  assert.equal(cookie, 'theme=dark')
})

test('X-Forwarded-For gets only IP addresses, without the port that some proxies add', () => {
  const clients = [
    'unknown',
    '_hidden',
    '192.0.2.1:4711',
    '[2001:db8::1]:4711',
    '[2001:db8::2]',
    '2001:db8::3',
    undefined,
  ]
  clients.push(`::4%${'z'.repeat(20)}`, `::5%${'z'.repeat(2000)}`)
  clients.push('', '192.0.2.256', '[192.0.2.1]', '1.2.3.4, evil', "<script>'", '192.0.2.9')
  assert.equal(
    requestHeaders({}, rules, clients, false)['x-forwarded-for'],
    '192.0.2.1, 2001:db8::1, 2001:db8::2, 2001:db8::3, ::4, 192.0.2.9',
  )
})

test('without an address, as on a UNIX socket, X-Forwarded-For is left out', () => {
  assert.equal('x-forwarded-for' in requestHeaders({}, rules, [undefined], false), false)
})

test('with a list of methods, method-override headers are removed', () => {
  const overrides = {
    'x-http-method-override': 'DELETE',
    'x-http-method': 'PUT',
    'x-method-override': 'PATCH',
  }
  assert.deepEqual(kept(overrides), overrides)
  const limited = { ...rules, limitsMethods: true, allowed: new Set(Object.keys(overrides)) }
  assert.deepEqual(requestHeaders(overrides, limited, client, false), ours)
})
