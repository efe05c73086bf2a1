import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { exchange, rawGet, startGateway, startUpstream } from './support.ts'

async function start(t: TestContext, env: Record<string, string> = {}) {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: `${upstream.url}/v1` }], { env })
  /** Which of these headers reach the upstream. */
  const sent = async (headers: string[]) => {
    const { status, answer } = await rawGet(gateway.port, '/api/x', headers)
    assert.equal(status, 200, answer)
    return upstream.arrivals.at(-1)?.headers ?? {}
  }
  return { upstream, gateway, sent }
}

test('the upstream gets exactly these headers', async (t) => {
  const { upstream, gateway, sent } = await start(t)
  const hostile = [
    'Accept: text/html',
    'Cookie: bff=secret; other=1',
    'Authorization: Bearer of-the-client',
    'Proxy-Authorization: Basic eA==',
    'Forwarded: for=192.0.2.7;host=evil;proto=https',
    'X-Forwarded-For: 192.0.2.7',
    'X-Forwarded-Host: evil',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Port: 1',
    'X-Forwarded-Prefix: /evil',
    'X-Real-IP: 192.0.2.7',
    'X-Client-IP: 192.0.2.7',
    'True-Client-IP: 192.0.2.7',
    'Client-Cert: :eA==:',
    'Client-Cert-Chain: :eA==:',
    'X_Forwarded_For: 192.0.2.7',
    'X_Csrf: 1',
    'X-Original-URL: /admin',
    'X-Rewrite-URL: /admin',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Trailer: x-checksum',
    'Proxy-Connection: keep-alive',
    'X-App: kept',
    'X-Empty:',
    'X-Bytes: \xc3\xa9\xe9',
    'X-Twice: a',
    'X-Twice: b',
  ]
  assert.deepEqual(await sent(hostile), {
    accept: 'text/html',
    connection: 'keep-alive',
    host: `127.0.0.1:${upstream.port}`,
    'x-app': 'kept',
    'x-bytes': '\xc3\xa9\xe9',
    'x-empty': '',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': `localhost:${gateway.port}`,
    'x-forwarded-prefix': '/api',
    'x-forwarded-proto': 'http',
    'x-twice': 'a, b',
  })
})

test('headers named in Connection do not pass', async (t) => {
  const { upstream, gateway } = await start(t)
  const answer = await exchange(
    gateway.port,
    'GET /api/x HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nConnection: keep-alive, X-Foo\r\nX-Foo: 1\r\nX-Bar: 2\r\n\r\n' +
      'GET /api/y HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nConnection: close, x-bar\r\nX-Foo: 1\r\nX-Bar: 2\r\n\r\n',
  )
  assert.equal(answer.match(/200 OK/g)?.length, 2)
  const [first, second] = upstream.arrivals
  assert.deepEqual([first?.headers['x-foo'], first?.headers['x-bar']], [undefined, '2'])
  assert.deepEqual([second?.headers['x-foo'], second?.headers['x-bar']], ['1', undefined])
})

const aboutTheConnection = [
  'Connection: keep-alive, x-foo',
  'Connection: keep-alive, content-length, host, x-forwarded-for',
  'Connection: ,',
  'Keep-Alive: timeout=5, max=100',
  'Upgrade: h2c',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
  'TE: trailers, deflate',
  'Trailer: x-checksum',
  'Proxy-Connection: keep-alive',
  'Expect: 100-continue',
  'Expect: the-unexpected',
  'Content-Type: text/plain',
  'Transfer_Encoding: chunked',
  'Content_Length: 5',
]

for (const header of aboutTheConnection) {
  test(`no server error is caused by ${header.replaceAll('\r\n', ', ')}`, async (t) => {
    const { upstream, gateway } = await start(t)
    for (const start of [
      `GET /api/x HTTP/1.1\r\n`,
      `POST /api/x HTTP/1.1\r\nContent-Length: 2\r\n`,
      `POST /api/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n`,
    ]) {
      const body = start.includes('chunked') ? '2\r\nhi\r\n0\r\n\r\n' : start.startsWith('P') ? 'hi' : ''
      const head = `${start}Host: GATEWAY\r\nx-csrf: 1\r\nConnection: close\r\n${header}`
      const answer = await exchange(gateway.port, `${head}\r\n\r\n${body}`)
      assert.match(answer, /^HTTP\/1.1 (100 Continue\r\n\r\nHTTP\/1.1 )?200 OK/)
    }
    for (const { headers } of upstream.arrivals) {
      for (const name of ['upgrade', 'te', 'trailer', 'proxy-connection', 'expect', 'x-foo']) {
        assert.equal(headers[name], undefined, name)
      }
    }
  })
}

test("Host is the host of the upstream's URL", async (t) => {
  const { upstream, gateway } = await start(t)
  await rawGet(gateway.port, '/api/x', ['X-Host: evil'])
  assert.deepEqual(
    upstream.arrivals[0]?.rawHeaders.filter((_, index, all) => /^host$/i.test(all[index - 1] ?? '')),
    [`127.0.0.1:${upstream.port}`],
  )
})

const claims = ['X-Forwarded-For: 192.0.2.7, unknown, 198.51.100.7:4711', 'X-Forwarded-Proto: https']

const trust: [setting: string, clients: string][] = [
  ['false', '127.0.0.1'],
  ['true', '192.0.2.7, 198.51.100.7, 127.0.0.1'],
  // The client that the nearest proxy names can have invented the addresses before.
  ['1', '198.51.100.7, 127.0.0.1'],
  ['3', '192.0.2.7, 198.51.100.7, 127.0.0.1'],
  ['127.0.0.0/8', '198.51.100.7, 127.0.0.1'],
  ['10.0.0.0/8', '127.0.0.1'],
]

for (const [setting, clients] of trust) {
  test(`forwarding headers of a proxy in front count with TRUST_PROXY=${setting}`, async (t) => {
    const { gateway, sent } = await start(t, { TRUST_PROXY: setting })
    const claimed = [
      ...claims,
      'X-Forwarded-Prefix: /evil',
      'X-Forwarded-Port: 1',
      'Forwarded: for=192.0.2.9',
    ]
    const headers = Object.entries(await sent(claimed)).filter(([name]) => name.includes('forwarded'))
    assert.deepEqual(Object.fromEntries(headers), {
      'x-forwarded-for': clients,
      // From the public URL, whatever a proxy has sent.
      'x-forwarded-host': `localhost:${gateway.port}`,
      'x-forwarded-proto': 'http',
      'x-forwarded-prefix': '/api',
    })
  })
}

test('X-Forwarded-Host, -Proto and -Prefix are those of the public URL', async (t) => {
  const env = { PUBLIC_URL: 'https://app.example.com/shop', TRUST_PROXY: 'true' }
  const { sent } = await start(t, env)
  const headers = await sent(['X-Forwarded-Host: app.example.com:443', 'X-Forwarded-Proto: http'])
  assert.deepEqual(
    ['host', 'proto', 'prefix'].map((name) => headers[`x-forwarded-${name}`]),
    ['app.example.com', 'https', '/shop/api'],
  )
})

test('with a list of methods, method-override headers do not pass', async (t) => {
  const upstream = await startUpstream(t)
  const free = { prefix: '/free', target: upstream.url }
  const gateway = await startGateway(t, [{ target: upstream.url, methods: ['GET', 'POST'] }, free])
  const names = ['x-http-method-override', 'x-http-method', 'x-method-override']
  const headers = Object.fromEntries(names.map((name) => [name, 'DELETE']))
  for (const path of ['/api/x', '/free/x']) await gateway.call(path, { method: 'POST', headers })
  assert.deepEqual(
    upstream.arrivals.map((arrival) => names.map((name) => arrival.headers[name])),
    [
      [undefined, undefined, undefined],
      ['DELETE', 'DELETE', 'DELETE'],
    ],
  )
})

test('a CSRF header with a configured name does not pass, others do', async (t) => {
  const { upstream, gateway } = await start(t, { CSRF_HEADER: 'X-App' })
  await gateway.call('/api/x', { headers: { 'X-App': '1', 'x-csrf': '7' } })
  assert.equal(upstream.arrivals[0]?.headers['x-app'], undefined)
  assert.equal(upstream.arrivals[0]?.headers['x-csrf'], '7')
})
