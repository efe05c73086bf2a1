import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { rawGet, startGateway, startTcpUpstream, type WantedUpstream } from './support.ts'

interface Wanted extends Partial<WantedUpstream> {
  env?: Record<string, string>
  status?: string
}

/** Which of these header lines of an upstream the browser gets, byte for byte. */
async function shown(t: TestContext, lines: string[], { env = {}, status = '200 OK', ...rest }: Wanted = {}) {
  const upstream = await startTcpUpstream(t, (socket) => {
    const head = [`HTTP/1.1 ${status}`, 'Content-Length: 0', ...lines].join('\r\n')
    socket.write(Buffer.from(`${head.replaceAll('UPSTREAM', upstream.url)}\r\n\r\n`, 'latin1'))
  })
  const gateway = await startGateway(t, [{ target: `${upstream.url}/v1`, ...rest }], { env })
  const { answer } = await rawGet(gateway.port, '/api/x')
  const [statusLine = '', ...headers] = (answer.split('\r\n\r\n')[0] ?? '').split('\r\n')
  const added = /^(date|connection|content-length|cache-control): /i
  return {
    statusLine,
    lines: headers
      .filter((line) => !added.test(line))
      .map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())),
    cacheControl: headers.filter((line) => /^cache-control:/i.test(line)).map((line) => line.slice(15)),
  }
}

test('headers pass byte for byte, and several values of one stay separate', async (t) => {
  const { lines } = await shown(
    t,
    [
      'X-Utf8: caf\xc3\xa9 \xe2\x82\xac',
      'X-Latin1: caf\xe9',
      'Content-Disposition: attachment; filename="\xc3\xa9.txt"',
      'Link: <a>; rel=next',
      'Link: <b>; rel=last',
      'WWW-Authenticate: Bearer error="invalid_token"',
      'WWW-Authenticate: DPoP',
      'X-Empty:',
      'Server: api',
    ],
    { responseHeaders: ['x-utf8', 'x-latin1', 'x-empty', 'server'] },
  )
  assert.deepEqual(lines, [
    'x-utf8: caf\xc3\xa9 \xe2\x82\xac',
    'x-latin1: caf\xe9',
    'content-disposition: attachment; filename="\xc3\xa9.txt"',
    'link: <a>; rel=next',
    'link: <b>; rel=last',
    'www-authenticate: Bearer error="invalid_token"',
    'www-authenticate: DPoP',
    'x-empty: ',
    'server: api',
  ])
})

test('headers about the connection, another origin or a proxy in front do not pass', async (t) => {
  const { lines } = await shown(t, [
    'Connection: keep-alive, X-Internal',
    'X-Internal: secret',
    'Keep-Alive: timeout=5',
    'Proxy-Authenticate: Basic',
    'Trailer: x-checksum',
    'Upgrade: h2c',
    'Clear-Site-Data: "cookies"',
    'Strict-Transport-Security: max-age=1',
    'Access-Control-Allow-Origin: *',
    'X-Accel-Redirect: /secret',
    'Surrogate-Control: max-age=60',
    'X-Request-Id: kept',
  ])
  assert.deepEqual(lines, ['x-request-id: kept'])
})

test('no cookie of the upstream passes', async (t) => {
  const { lines } = await shown(t, ['Set-Cookie: a=1', 'Set-Cookie: bff=evil; Path=/'])
  assert.deepEqual(lines, [])
})

test("allowed cookies pass, each in its own header, the gateway's own never", async (t) => {
  const names = ['theme', 'lang', 'app', 'app-tx', 'app-tx-0123456789abcdef']
  const { lines } = await shown(
    t,
    [...names.map((name) => `Set-Cookie: ${name}=1; Path=/; HttpOnly`), 'Set-Cookie: other=1'],
    { responseCookies: names, env: { COOKIE_NAME: 'app' } },
  )
  assert.deepEqual(lines, ['set-cookie: theme=1; Path=/; HttpOnly', 'set-cookie: lang=1; Path=/; HttpOnly'])
})

const caching: [lines: string[], cacheControl: string][] = [
  [[], 'no-store'],
  [['Cache-Control: public, max-age=60'], 'private, max-age=60'],
  [['Cache-Control: public', 'Cache-Control: s-maxage=600, max-age=60'], 'private, max-age=60'],
  [['Cache-Control: no-store'], 'no-store'],
  [['Expires: Wed, 21 Oct 2099 07:28:00 GMT'], 'private'],
]

for (const [lines, cacheControl] of caching) {
  test(`no shared cache may store an answer with ${lines.join(', ') || 'no caching headers'}`, async (t) => {
    assert.deepEqual((await shown(t, lines)).cacheControl, [cacheControl])
  })
}

const redirects: [from: string, to: string][] = [
  ['/v1/y?z#w', '/api/y?z#w'],
  ['UPSTREAM/v1/y', '/api/y'],
  ['y', 'y'],
  ['https://login.example.com/', 'https://login.example.com/'],
  ['https://login.example.com/v1/y', 'https://login.example.com/v1/y'],
]

for (const [from, to] of redirects) {
  test(`a redirect to ${from} is passed on, not followed, as ${to}`, async (t) => {
    const { statusLine, lines } = await shown(t, [`Location: ${from}`], { status: '302 Found' })
    assert.equal(statusLine, 'HTTP/1.1 302 Found')
    assert.deepEqual(lines, [`location: ${to}`])
  })
}

test('with a path in the public URL, redirects lead below it', async (t) => {
  const env = { PUBLIC_URL: 'http://localhost:3000/app' }
  const { lines } = await shown(t, ['Location: /v1/y'], { status: '303 See Other', env })
  assert.deepEqual(lines, ['location: /app/api/y'])
})

for (const status of [
  '200 OK',
  '201 Created',
  '302 Found',
  '400 Bad Request',
  '401 Unauthorized',
  '404 Not Found',
  '418 Teapot',
  '429 Too Many',
  '500 Oops',
  '503 Busy',
  '599 Odd',
]) {
  test(`the status is passed on: ${status}`, async (t) => {
    const { statusLine } = await shown(t, [], { status })
    assert.match(statusLine, new RegExp(`^HTTP/1.1 ${status.slice(0, 3)} `))
  })
}

for (const line of ['X-Bad: a\x01b', 'X-Bad: a\x7fb', 'X-Bad: a\x00b', 'X Bad: a', 'X-Bad']) {
  test(`an invalid header is a 502, not an internal error: ${JSON.stringify(line)}`, async (t) => {
    assert.match((await shown(t, [line])).statusLine, /^HTTP\/1.1 502 /)
  })
}

test('early hints are dropped, the answer after them is passed on', async (t) => {
  const status = '103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK'
  const { statusLine, lines } = await shown(t, ['X-Request-Id: kept'], { status })
  assert.equal(statusLine, 'HTTP/1.1 200 OK')
  assert.deepEqual(lines, ['x-request-id: kept'])
})

for (const value of [
  'attachment; filename="\xc5\x81\xc3\xb3d\xc5\xba.pdf"',
  'inline; filename="J\xf6rg.pdf"',
]) {
  for (const [what, before, after] of [
    ['before', ['Content-Length: 2'], []],
    ['behind', [], ['Content-Length: 2']],
    ['not known,', [], ['Transfer-Encoding: chunked']],
  ] as const) {
    test(`a file name arrives byte for byte, its length ${what}: ${JSON.stringify(value)}`, async (t) => {
      const upstream = await startTcpUpstream(t, (socket) => {
        const lines = ['HTTP/1.1 200 OK', ...before, `Content-Disposition: ${value}`, ...after, '', '']
        const body = what === 'not known,' ? '2\r\nok\r\n0\r\n\r\n' : 'ok'
        socket.write(Buffer.from(lines.join('\r\n') + body, 'latin1'))
      })
      const gateway = await startGateway(t, [{ target: upstream.url }])
      const { answer } = await rawGet(gateway.port, '/api/x')
      assert.equal(/content-disposition: (.*)\r\n/i.exec(answer)?.[1], value)
    })
  }
}

for (const type of ['text/event-stream', 'Text/Event-Stream;charset=utf-8', 'text/event-stream ; x=y']) {
  test(`a proxy in front is asked not to buffer an event stream: ${type}`, async (t) => {
    const { lines } = await shown(t, [`Content-Type: ${type}`, 'X-Accel-Buffering: yes'])
    assert.ok(lines.includes('x-accel-buffering: no'), lines.join('\n'))
  })
}

test('links lead below the prefix, for each base path that the API uses', async (t) => {
  const { lines } = await shown(t, [
    'Link: </v1/x?page=2>; rel="next"',
    'Link: <UPSTREAM/v1/x>; rel="first", <https://other.example/>; rel="author"',
    'Content-Location: /api/v1/x',
  ])
  assert.deepEqual(lines, [
    'link: </api/x?page=2>; rel="next"',
    'link: </api/x>; rel="first", <https://other.example/>; rel="author"',
    'content-location: /api/x',
  ])
})
