import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { startIssuer } from '../../demo/issuer.ts'
import { exchange, signIn, startGateway, startUpstream } from '../proxy/support.ts'
import { assertRefused, inputs, parseAnswer, report } from './support.ts'

const hopByHop = [
  ...['Keep-Alive', 'Proxy-Authenticate', 'Proxy-Authorization', 'Proxy-Connection', 'TE', 'Trailer'],
  ...['Transfer-Encoding', 'Upgrade'],
]
const credentials = ['Cookie', 'Authorization', 'X-CSRF']
const named = fc.constantFrom(
  ...hopByHop,
  ...credentials,
  ...['Connection', 'Content-Length', 'Host', 'Expect', 'Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host'],
  ...[
    'X-Forwarded-Proto',
    'X-Real-IP',
    'X-Original-URL',
    'Transfer_Encoding',
    'Content_Length',
    'X-Foo',
    'Range',
  ],
  ...['__proto__', 'constructor', 'Set-Cookie', 'Content-Type', 'Accept-Encoding', 'If-None-Match', 'Origin'],
  ...['Sec-Fetch-Site', 'HTTP2-Settings', 'Content-Encoding', ':method', ':path', 'Max-Forwards'],
)
const token = fc.string({ unit: fc.constantFrom(..."!#$%&'*+-.^_`|~09azAZ"), minLength: 1, maxLength: 20 })
const headerName = fc.oneof(
  { weight: 8, arbitrary: named },
  { weight: 3, arbitrary: token },
  {
    weight: 1,
    arbitrary: fc
      .tuple(named, fc.constantFrom(' ', '\t', '\0', '\r', '\n', ':'))
      .map((parts) => parts.join('')),
  },
)
const byte = fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code))
const visible = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code))
const headerValue = fc.oneof(
  fc.constantFrom('', '0', '5', '05', '+5', '-1', '5, 5', '0x5', '1e1', '99999999999999999999', 'chunked'),
  fc.constantFrom(
    ' chunked',
    'chunked, chunked',
    'identity',
    'gzip, chunked',
    'chunked;q=1',
    '\x0bchunked',
    'xchunked',
  ),
  fc.constantFrom(
    'close',
    'keep-alive',
    'upgrade',
    'x-foo',
    'authorization',
    'host, content-length',
    ',',
    'close, x-csrf',
  ),
  fc.constantFrom(
    'h2c',
    'websocket',
    '100-continue',
    'trailers',
    'bff=forged',
    'Bearer forged',
    'evil.example',
    '/admin',
  ),
  fc.constantFrom(
    'a\r\n b',
    'a\r\nX-Foo: b',
    'a\nX-Foo: b',
    'a\rX-Foo: b',
    'a\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n',
  ),
  fc.string({ unit: visible, maxLength: 40 }),
  fc.string({ unit: byte, maxLength: 10 }),
  fc.integer({ min: 1000, max: 20_000 }).map((length) => 'x'.repeat(length)),
)
const header = fc.oneof(
  fc.tuple(headerName, fc.constantFrom(': ', ':', ':\t', ' : '), headerValue).map((parts) => parts.join('')),
  token,
)
/** Another request inside, without the CSRF header, so that the gateway itself would not forward it. */
const smuggled = 'GET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'
const body = fc.constantFrom(
  '',
  'hello',
  smuggled,
  `hello${smuggled}`,
  `0\r\n\r\n${smuggled}`,
  `5\r\nhello\r\n0\r\n\r\n${smuggled}`,
  `5;x=\n\r\nhello\r\n0\r\n\r\n${smuggled}`,
  `5\r\nhello\r\n0\r\nX-Foo: 1\r\nContent-Length: 9\r\nCookie: a=b\r\n\r\n${smuggled}`,
  `5\r\nhello0\r\n\r\n${smuggled}`,
  `ffffffffffffffff5\r\nhello\r\n0\r\n\r\n${smuggled}`,
)
const method = fc.constantFrom('GET', 'GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH')

test('with any headers one request stays one, and the upstream gets only permitted ones', async (t) => {
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, ({ request, response }) => {
    request.resume().once('end', () => response.end('ok'))
  })
  const gateway = await startGateway(t, [{ target: `${upstream.url}/v1`, token: 'user' }], { issuer })
  const cookie = await signIn(gateway)
  // An aborted request may arrive later than the next.
  const arrived = new Map<string, number>()
  let sent = 0

  await fc.assert(
    fc.asyncProperty(method, fc.array(header, { maxLength: 6 }), body, async (verb, headers, content) => {
      // The last lines close the connection where the first would keep it open.
      const lines = ['Host: localhost', 'x-csrf: 1', `Cookie: ${cookie}`, 'Connection: close', ...headers]
      // Enough for any valid length.
      const padding = headers.some((line) => /content.length/i.test(line)) ? '\0'.repeat(64) : ''
      const bytes = `${verb} /api/x?${sent++} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${content}${padding}`
      const answer = await exchange(gateway.port, bytes)
      const arrivals = upstream.arrivals.splice(0)

      const answered = parseAnswer(answer)
      // Bytes after the last request of a connection may abort it.
      if (!answered) assert.match(headers.join('\n') + content + padding, /smuggled|hello|\0/)
      else if (answered.status === 200) assert.match(answered.text, /^(2\r\n)?(ok)?/)
      else if (verb !== 'HEAD' || answered.text !== '') assertRefused(answered)
      else assert.ok(answered.status >= 400 && answered.status < 500)
      for (const arrival of arrivals) {
        assertTidy(arrival.rawHeaders, upstream.port)
        assert.match(arrival.url, /^\/v1\/x\?\d+$/)
        const times = (arrived.get(arrival.url) ?? 0) + 1
        arrived.set(arrival.url, times)
        assert.equal(times, 1, arrival.url)
      }
    }),
    inputs(2000),
  )
  assert.ok(arrived.size > 0)
  report(t, { requests: sent, forwarded: arrived.size })
})

function assertTidy(rawHeaders: string[], port: number): void {
  const values = (wanted: string) =>
    rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === wanted)
  for (const name of ['cookie', 'x-csrf', 'expect', 'forwarded', 'x-real-ip', ...hopByHop]) {
    // A body of unknown length has to be chunked again.
    if (name !== 'Transfer-Encoding') assert.deepEqual(values(name.toLowerCase()), [], name)
  }
  assert.deepEqual(values('host'), [`127.0.0.1:${port}`])
  const authorization = values('authorization')
  assert.equal(authorization.length, 1)
  assert.match(authorization[0] ?? '', /^Bearer (?!forged)/)
  assert.deepEqual(
    values('connection').filter((value) => !/^(keep-alive|close)$/.test(value)),
    [],
  )
  const framing = [...values('content-length'), ...values('transfer-encoding')]
  assert.ok(framing.length <= 1, framing.join())
  assert.ok(
    framing.every((value) => /^(\d+|chunked)$/.test(value)),
    framing.join(),
  )
}
