import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import { WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startApplication } from '../plugin/support.ts'
import { call, signIn, startGateway } from '../proxy/support.ts'
import { giveUpMs } from '../support/until.ts'
import { startTlsGateway } from '../tls/support.ts'
import { inputs, report } from './support.ts'

/** One server under test. */
interface Target {
  port: number
  url: string
  tls: boolean
  /** Cookie of a session, if there is one. */
  cookie: string
}

const names = ['plain', 'tls', 'application'] as const
const paths = [
  ...[
    '/api/echo',
    '/api/reset',
    '/api/garbage',
    '/api/wrong',
    '/api/refuse',
    '/api/401',
    '/api/late',
    '/api/events',
  ],
  ...[
    '/open/echo',
    '/open/reset',
    '/open/ok',
    '/healthz',
    '/bff/user',
    '/bff/login',
    '/',
    '/nothing',
    '/api/%2e%2e/x',
  ],
]
const kinds = [
  'upgrade',
  'upgrade',
  'upgrade',
  'get',
  'h2c',
  'connect',
  'post',
  'http10',
  'expect',
  'no handshake',
] as const

const request = fc.record({
  kind: fc.constantFrom(...kinds),
  path: fc.constantFrom(...paths),
  signedIn: fc.boolean(),
})
const connection = fc.record({
  where: fc.constantFrom(...names),
  requests: fc.array(request, { minLength: 1, maxLength: 4 }),
  /** Bytes after the last request. */
  rest: fc.constantFrom('', '', '\x81\x80\0\0\0\0', 'garbage', 'GET / HTTP/1.1\r\nHost: x\r\n', '\r\n'),
  /** Where the bytes are split, as fractions of their length. */
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  end: fc.constantFrom('stay', 'half-close', 'reset', 'reset', 'destroy'),
  /** When the connection ends: once all is written, some turns later, or at the first byte of an answer. */
  when: fc.constantFrom('written', 'turns', 'answered'),
})
type Connection = typeof connection extends fc.Arbitrary<infer T> ? T : never

/** Number of connections open at a time. */
const atOnce = 20

// 20,000 connections: FUZZ_RUNS=50 node --test test/fuzz/sockets.test.ts
test('no connection ends the process, however it is split, pipelined, half-closed or reset', async (t) => {
  // Renewed each second, so that upgrades wait for renewals.
  const issuer = await startIssuer({ accessTokenLifetime: 2 })
  t.after(() => issuer.close())
  const api = await startApi(t)
  const upstreams = [
    { target: api, token: 'user' as const, timeoutMs: 1000 },
    { prefix: '/open', target: api, timeoutMs: 1000 },
  ]
  const plain = await startGateway(t, upstreams, { issuer })
  const tls = await startTlsGateway(t, upstreams, { issuer })
  const { app } = await startApplication(t, {
    issuer,
    bff: { upstreams: [{ prefix: '/open', target: api, token: 'none' }] },
  })
  await app.listen({ port: 0, host: 'localhost' })
  const targets: Record<(typeof names)[number], Target> = {
    plain: { port: plain.port, url: plain.url, tls: false, cookie: await signIn(plain) },
    tls: { port: tls.port, url: tls.url, tls: true, cookie: await signIn(tls) },
    application: {
      ...{ port: (app.server.address() as AddressInfo).port, tls: false, cookie: '' },
      url: 'http://localhost:3000',
    },
  }
  const uncaught: unknown[] = []
  const catchAll = (error: unknown) => uncaught.push(error)
  process.on('uncaughtException', catchAll).on('unhandledRejection', catchAll)
  t.after(() => process.off('uncaughtException', catchAll).off('unhandledRejection', catchAll))
  const figures = { connections: 0, opened: 0, answered: 0, silent: 0 }

  await fc.assert(
    fc.asyncProperty(fc.array(connection, { minLength: atOnce, maxLength: atOnce }), async (all) => {
      await Promise.all(
        all.map(async (each) => {
          const answer = await talk(targets[each.where], each)
          figures.connections++
          if (answer.includes('HTTP/1.1 101')) figures.opened++
          if (answer.startsWith('HTTP/1.')) figures.answered++
          if (answer === silence) figures.silent++
        }),
      )
      assert.deepEqual(uncaught, [])
    }),
    { ...inputs(20), endOnFailure: true },
  )

  report(t, figures)
  assert.equal((await plain.call('/healthz')).status, 200)
  assert.equal((await call(targets.application.port, '/bff/session')).status, 200)
  assert.ok(figures.opened > 0 && figures.answered > 0)
  assert.equal(figures.silent, 0)
})

const silence = 'silence'

/** @returns what came back */
async function talk(target: Target, { requests, rest, cuts, end, when }: Connection): Promise<string> {
  const bytes = requests.map((each) => bytesOf(each, target)).join('') + rest
  const tcp = connect(target.port, 'localhost').on('error', () => {})
  const socket = target.tls ? overTls(tcp) : tcp
  let answer = ''
  const first = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      resolve()
    })
    socket.once('close', () => resolve())
  })
  const gone = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  socket
    .on('error', () => {})
    .setTimeout(giveUpMs, () => {
      answer = silence
      socket.destroy()
    })
  for (const piece of piecesOf(bytes, cuts)) {
    if (socket.writable) socket.write(Buffer.from(piece, 'latin1'))
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
  if (when === 'answered') await first
  if (when === 'turns')
    for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => void setImmediate(resolve))
  if (end === 'reset') reset(tcp)
  if (end === 'destroy') socket.destroy()
  if (end === 'half-close') socket.end()
  // Some stay open, such as those after a garbled request.
  if (end === 'stay') await Promise.race([first, gone]).then(() => reset(tcp))
  await gone
  tcp.destroy()
  return answer
}

function overTls(socket: Socket): Socket {
  const options = { socket, servername: 'localhost', ALPNProtocols: ['http/1.1'] }
  return connectTls({ ...options, rejectUnauthorized: false })
}

function reset(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy()
}

function piecesOf(bytes: string, cuts: number[]): string[] {
  const at = [0, ...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).flatMap((end, i) => (end > (at[i] ?? 0) ? [bytes.slice(at[i], end)] : []))
}

function bytesOf({ kind, path, signedIn }: Connection['requests'][number], { url, cookie }: Target): string {
  const lines = [`Host: ${new URL(url).host}`, `Origin: ${url}`, 'x-csrf: 1']
  if (signedIn && cookie) lines.push(`Cookie: ${cookie}`)
  const handshake = [
    ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
  ]
  const message = (first: string, more: string[] = [], body = '') =>
    `${[first, ...lines, ...more].join('\r\n')}\r\n\r\n${body}`
  switch (kind) {
    case 'upgrade':
      return message(`GET ${path} HTTP/1.1`, handshake)
    case 'no handshake':
      return message(`GET ${path} HTTP/1.1`, ['Connection: upgrade', 'Upgrade: WebSocket'])
    case 'get':
      return message(`GET ${path} HTTP/1.1`)
    case 'h2c':
      return message(`GET ${path} HTTP/1.1`, ['Connection: Upgrade', 'Upgrade: h2c'])
    case 'connect':
      return message('CONNECT localhost:80 HTTP/1.1')
    case 'post':
      return message(`POST ${path} HTTP/1.1`, [...handshake, 'Content-Length: 4'], 'body')
    case 'http10':
      return message(`GET ${path} HTTP/1.0`, handshake)
    case 'expect':
      return message(`POST ${path} HTTP/1.1`, ['Expect: 100-continue', 'Content-Length: 4'], 'body')
  }
}

/** An API whose behaviour depends on the path. */
async function startApi(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    if (request.url === '/reset') return void request.socket.resetAndDestroy()
    if (request.url === '/events') {
      return void response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    }
    response.writeHead(request.url === '/401' ? 401 : 200).end('ok')
  })
  const sockets = new WebSocketServer({ noServer: true })
  const open = new Set<Socket>()
  server.on('connection', (socket) => open.add(socket))
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => {})
    switch (request.url) {
      case '/reset':
        return socket.resetAndDestroy()
      case '/garbage':
        return socket.end('garbage')
      case '/wrong':
        return socket.end(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
        )
      case '/refuse':
        return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
      case '/401':
        return socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n')
      case '/late':
        return undefined
      default:
        return sockets.handleUpgrade(request, socket, head, (opened) => {
          opened.on('error', () => {}).send('hello')
        })
    }
  })
  const url = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(async () => {
    for (const socket of open) socket.destroy()
    await stop(server)
  })
  return url
}
