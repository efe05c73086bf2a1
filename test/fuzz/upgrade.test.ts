import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { signIn, startGateway } from '../proxy/support.ts'
import { giveUpMs } from '../support/until.ts'
import { assertRefused, inputs, mutationsOf, parseAnswer, report } from './support.ts'

const friend = 'https://friend.example'

/** Parts of a request's header lines that are known only when the gateway runs. */
interface Known {
  cookie: string
  own: string
}
type Header = [name: string, value: string]
type Edit = (headers: Header[], known: Known) => Header[]

const piece = fc.constantFrom(
  ...[' ', '\t', ',', ';', '=', '.', '/', ':', '@', 'A', '0', '\x01', '\xe9', 'null', 'http://'],
)
const names = ['Upgrade', 'Connection', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Origin', 'Cookie']
const name = fc.constantFrom(...names)
const origin = fc.constantFrom(
  ...['null', '', 'https://evil.example', 'http://127.0.0.1', 'http://localhost', `${friend}.evil.example`],
  ...[`${friend}:443`, `${friend}/`, 'HTTPS://FRIEND.EXAMPLE', `https://evil.example ${friend}`, friend],
)
const value = fc.oneof(
  origin,
  fc.constantFrom(
    'websocket',
    'WebSocket',
    ' websocket ',
    'websocket, h2c',
    'h2c',
    'websocket/13',
    'upgrade',
  ),
  fc.constantFrom(
    'Upgrade',
    'keep-alive, Upgrade',
    'close',
    'upgrade, authorization',
    'x-upgrade',
    '13',
    '8',
    '14',
  ),
  fc.constantFrom(
    '13, 13',
    'bff=forged',
    'same-origin',
    'cross-site',
    'same-site',
    'none',
    '1',
    '0',
    'a b',
    'a, a',
  ),
  fc.constant(randomBytes(16).toString('base64')),
  fc.string({ unit: 'grapheme-ascii', maxLength: 30 }),
  fc.integer({ min: 1000, max: 4000 }).map((length) => 'x'.repeat(length)),
)
/** Headers with and without effect. */
const further = fc.tuple(
  fc.constantFrom(
    ...[...names, 'Sec-Fetch-Site', 'Sec-Fetch-Mode', 'X-CSRF', 'Sec-WebSocket-Protocol', 'Authorization'],
    ...['Sec-WebSocket-Extensions', 'Sec-WebSocket-Accept', 'X-Forwarded-Host', 'X-Forwarded-For', 'X-Foo'],
    ...[
      'HTTP2-Settings',
      'Expect',
      'X-HTTP-Method-Override',
      'Proxy-Authorization',
      '__proto__',
      'Keep-Alive',
    ],
  ),
  value,
)
const edit: fc.Arbitrary<Edit> = fc.oneof(
  name.map(
    (which): Edit =>
      (headers) =>
        headers.filter(([key]) => key !== which),
  ),
  name.map(
    (which): Edit =>
      (headers) => [...headers, ...headers.filter(([key]) => key === which)],
  ),
  fc.tuple(name, value).map(([which, other]): Edit => onValue(which, () => other)),
  // Not the cookie: Base64 has several spellings, which another fuzz target covers.
  name
    .filter((which) => which !== 'Cookie')
    .chain((which) => {
      return mutationsOf('\0', piece).map((shape) => onValue(which, (text) => shape.replaceAll('\0', text)))
    }),
  fc
    .constantFrom<(own: string) => string>(
      (own) => `${own}/`,
      (own) => own.toUpperCase(),
      (own) => `${own}.evil.example`,
      (own) => own.replace('http:', 'https:'),
      (own) => own.replace('localhost', '127.0.0.1'),
      (own) => own.replace(/:\d+$/, ''),
      (own) => `${own}, ${own}`,
    )
    .map((change): Edit => onValue('Origin', (_value, { own }) => change(own))),
  {
    weight: 4,
    arbitrary: further.map(
      (header): Edit =>
        (headers) => [...headers, header],
    ),
  },
  {
    weight: 2,
    arbitrary: further.map(
      (header): Edit =>
        (headers) => [header, ...headers],
    ),
  },
)
const edits = fc.array(edit, { maxLength: 3 })
const method = fc.constantFrom(...Array<string>(8).fill('GET'), 'POST', 'PUT', 'OPTIONS', 'get')
const proxied = ['/api/echo', '/api', '/%61pi/echo', '/api//evil.example']
const path = fc.constantFrom(
  ...Array<string>(8).fill('/api/echo'),
  ...[...proxied, '/api/%2e%2e/echo', '/api/..%2fecho', 'http://evil.example/api/echo'],
  ...['/open/echo', '/apix/echo', '/bff/session', '/bff/login', '/', '*'],
)
/** Bytes after the handshake: a frame, a request, nothing. */
const rest = fc.constantFrom(
  '',
  '',
  '',
  '\x81\x80\0\0\0\0',
  'GET /api/smuggled HTTP/1.1\r\nHost: x\r\nx-csrf: 1\r\n\r\n',
)

test('a WebSocket opens only with a session and an allowed origin, and nothing else reaches the upstream', async (t) => {
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const api = await startApi(t)
  const gateway = await startGateway(t, [{ target: `${api.url}/v1`, token: 'user' }], {
    issuer,
    env: { CORS_ORIGINS: friend },
  })
  const [cookie = ''] = /bff=\S+/.exec(await signIn(gateway)) ?? []
  const known: Known = { cookie, own: gateway.url }
  /** By a marker in the query of each. */
  const allowed = new Map<string, Way>()
  const figures = { requests: 0, opened: 0, forwarded: 0 }

  await fc.assert(
    fc.asyncProperty(edits, method, path, rest, async (changes, verb, target, more) => {
      const marker = `n${figures.requests++}`
      const headers = changes.reduce((all, change) => change(all, known), handshake(known))
      const lines = headers.map(([key, text]) => `${key}: ${text}\r\n`).join('')
      const request = `${verb} ${target}?${marker} HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`
      const may = judged(verb, target, headers, known)
      allowed.set(marker, may)
      const answer = await firstAnswer(gateway.port, request + more)

      const sent = JSON.stringify(request)
      if (answer === undefined) return assert.notEqual(may, 'upgrade', sent)
      const { status } = answer
      if (status === 101) figures.opened++
      assert.equal(status === 101, may === 'upgrade', `${status} ${sent}`)
      if (status >= 400 && answer.text !== '') assertRefused(answer, sent)
      else assert.ok(status < 500, sent)
    }),
    { ...inputs(800), endOnFailure: true },
  )

  // An admitted handshake may arrive after the next one's answer, so they are counted at the end.
  await gateway.close()
  for (const { url = '', headers } of api.arrivals) {
    const how = headers.upgrade === undefined ? 'request' : 'upgrade'
    const [, marker = ''] = url.split('?')
    assert.equal(allowed.get(marker), how, url)
    assert.match(url, /^\/v1(\/echo|\/\/evil\.example)?\?n\d+$/)
    assert.match(String(headers.authorization), /^Bearer (?!forged)/)
    assert.equal(headers.cookie, undefined)
    figures.forwarded++
  }
  assert.equal(new Set(api.arrivals.map(({ url }) => url)).size, api.arrivals.length)
  assert.ok(figures.opened > 0 && figures.opened < figures.requests / 2)
  report(t, figures)
})

function handshake({ cookie, own }: Known): Header[] {
  return [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Key', randomBytes(16).toString('base64')],
    ['Sec-WebSocket-Version', '13'],
    ['Origin', own],
    ['Cookie', cookie],
  ]
}

function onValue(which: string, change: (value: string, known: Known) => string): Edit {
  return (headers, known) => headers.map(([key, text]) => [key, key === which ? change(text, known) : text])
}

type Way = 'upgrade' | 'request' | 'none'

/** How it may reach the upstream, according to the protocol and the gateway's documentation. */
function judged(verb: string, target: string, headers: Header[], known: Known): Way {
  const all = (wanted: string) =>
    headers.filter(([key]) => key.toLowerCase() === wanted).map(([, text]) => trimmed(text))
  const joined = (wanted: string) => all(wanted).join(', ')
  // Not HTTP.
  if (verb === 'get' || headers.some(([, text]) => /[^\t\x20-\x7e\x80-\xff]/.test(text))) return 'none'
  if (!proxied.includes(target) || !isSignedIn(all('cookie'), known)) return 'none'

  const origin = all('origin').length > 0 ? joined('origin') : undefined
  const isFriend = origin === friend
  const isOwn = origin === known.own && joined('sec-fetch-site') !== 'cross-site'
  const isUpgrade =
    /(^|,)\s*upgrade\s*(,|$)/i.test(joined('connection')) && joined('upgrade').toLowerCase() === 'websocket'
  if (!isUpgrade) {
    const isNobodys = origin === undefined && joined('sec-fetch-site') !== 'cross-site'
    return joined('x-csrf') === '1' && (isFriend || isOwn || isNobodys) ? 'request' : 'none'
  }
  const isHandshake =
    verb === 'GET' &&
    Buffer.from(joined('sec-websocket-key'), 'base64').toString('base64') === joined('sec-websocket-key') &&
    Buffer.from(joined('sec-websocket-key'), 'base64').length === 16 &&
    joined('sec-websocket-version') === '13' &&
    areProtocols(all('sec-websocket-protocol'))
  return isHandshake && (isFriend || isOwn) ? 'upgrade' : 'none'
}

/** Other, invalid cookies beside it do no harm. */
function isSignedIn(cookies: string[], { cookie }: Known): boolean {
  return cookies.flatMap((text) => text.split('; ')).includes(cookie)
}

function areProtocols(lines: string[]): boolean {
  const names = lines.flatMap((line) => line.split(',')).map(trimmed)
  return (
    new Set(names).size === names.length &&
    names.every((it) => /^[^\s",/:;<=>?@[\\\]{}()\x80-\xff]+$/.test(it))
  )
}

function trimmed(text: string): string {
  return text.replaceAll(/^[\t ]+|[\t ]+$/g, '')
}

/** Reads until the headers and the announced body have arrived. */
async function firstAnswer(port: number, bytes: string) {
  const socket = connect(port, '127.0.0.1')
  socket.setTimeout(giveUpMs, () => socket.destroy(new Error(`No answer to ${JSON.stringify(bytes)}`)))
  socket.write(Buffer.from(bytes, 'latin1'))
  let all = ''
  try {
    for await (const chunk of socket) {
      all += (chunk as Buffer).toString('latin1')
      const answer = parseAnswer(all)
      if (answer && isWhole(all)) return answer
    }
    return parseAnswer(all)
  } catch (error) {
    // Bytes after a refused request may abort it.
    if (!(error instanceof Error && 'code' in error && error.code === 'ECONNRESET')) throw error
    return parseAnswer(all)
  } finally {
    socket.destroy()
  }
}

function isWhole(text: string): boolean {
  const [head, ...body] = text.split('\r\n\r\n')
  if (head === undefined || body.length === 0) return false
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  return body.join('\r\n\r\n').length >= length || /^HTTP\/1\.1 (101|3)/.test(head)
}

/** Accepts and records every WebSocket and every request. */
async function startApi(t: TestContext) {
  const arrivals: IncomingMessage[] = []
  const server = createServer((request, response) => {
    arrivals.push(request)
    request.resume()
    response.end('ok')
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    arrivals.push(request)
    // Bytes after the handshake need not be frames.
    sockets.handleUpgrade(request, socket, head, (opened) => opened.on('error', () => {}))
  })
  const url = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return { url, arrivals }
}
