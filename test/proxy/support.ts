import { EventEmitter, on, once } from 'node:events'
import {
  type ClientRequest,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type ServerResponse,
} from 'node:http'
import { createServer as createTcpServer, type Socket, connect as tcpConnect } from 'node:net'
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { type AppExtras, buildApp } from '../../app.ts'
import { loadConfig, type UpstreamOptions, upstreamDefaults } from '../../config/index.ts'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import type { DemoIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { freePort } from '../support/free-port.ts'
import { leakWatch } from '../support/leak-watch.ts'

/** A request as the upstream got it. */
export interface Arrival {
  method: string
  /** From the request line. */
  url: string
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  /** Number of the upstream's connection, from 0. */
  connection: number
  request: IncomingMessage
  response: ServerResponse
}

export interface Upstream {
  port: number
  url: string
  /** In the order in which their headers came. */
  arrivals: Arrival[]
  /** The next request to arrive. */
  nextArrival(): Promise<Arrival>
  /** Number of connections so far. */
  connections(): number
}

export type Answer = (arrival: Arrival) => unknown

/** Reads the body and answers `ok`. */
export const ok: Answer = ({ request, response }) => {
  request.resume().once('end', () => response.end('ok'))
}

/** A remote API that records its requests, and answers by `handler`. */
export async function startUpstream(t: TestContext, answer: Answer = ok, wantedPort = 0): Promise<Upstream> {
  const arrivals: Arrival[] = []
  const events = new EventEmitter<{ arrival: [Arrival] }>()
  const connections: Socket[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers, rawHeaders, socket } = request
    const connection = connections.indexOf(socket)
    const arrival = { method, url, headers, rawHeaders, connection, request, response }
    arrivals.push(arrival)
    events.emit('arrival', arrival)
    answer(arrival)
  })
  server.on('connection', (socket) => connections.push(socket))
  const port = await listen(server, wantedPort)
  t.after(() => stop(server))
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    arrivals,
    nextArrival: async () => (await once(events, 'arrival'))[0],
    connections: () => connections.length,
  }
}

/** An upstream that need not speak HTTP: `talk` gets each connection once a request's headers are in. */
export async function startTcpUpstream(t: TestContext, talk: (socket: Socket) => unknown) {
  const sockets: Socket[] = []
  let requests = 0
  const server = createTcpServer((socket) => {
    sockets.push(socket)
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      text = ''
      requests++
      talk(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${address.port}`, requests: () => requests, sockets }
}

export interface Gateway {
  app: FastifyInstance
  url: string
  port: number
  /** Parsed log lines. */
  logs: Record<string, unknown>[]
  /** The accepted client sockets. */
  sockets: Socket[]
  call(path: string, options?: CallOptions): Promise<Reply>
  /** Closes it before the end of the test. */
  close(): Promise<void>
}

export type WantedUpstream = Partial<Omit<UpstreamOptions, 'target'>> & { target: string }

export interface GatewayOptions {
  issuer?: DemoIssuer
  env?: Record<string, string>
  extras?: AppExtras
  /** A free port. Default: any. */
  port?: number
}

/** The gateways' public hosts by port, as some upstreams accept no other host. */
const publicHosts = new Map<number, string>()

export function publicHost(port: number): string {
  return publicHosts.get(port) ?? `localhost:${port}`
}

/** The whole gateway on a free port. By default upstreams are at `/api` and get no token. */
export async function startGateway(
  t: TestContext,
  upstreams: WantedUpstream[],
  { issuer, env, extras, port: wantedPort }: GatewayOptions = {},
): Promise<Gateway> {
  const port = wantedPort ?? (await freePort())
  const url = `http://localhost:${port}`
  issuer?.allowGateway(env?.['PUBLIC_URL'] ?? url)
  const { options } = loadConfig({
    PUBLIC_URL: url,
    OIDC_ISSUER: issuer?.issuer ?? 'http://localhost:9',
    OIDC_CLIENT_ID: issuer?.clientId ?? 'anonymous',
    ...(issuer && { OIDC_CLIENT_SECRET: issuer.clientSecret }),
    SESSION_KEYS: Buffer.alloc(32, 'proxy').toString('base64'),
    LOG_LEVEL: 'trace',
    ...env,
  })
  const logs: Record<string, unknown>[] = []
  if (issuer) leakWatch.watchIssuer(issuer)
  const logStream = leakWatch.watchedStream({ write: (line) => void logs.push(JSON.parse(line)) })
  const app = buildApp(
    {
      ...options,
      upstreams: upstreams.map(({ target, ...rest }) => ({
        ...upstreamDefaults(),
        prefix: '/api',
        target: new URL(target),
        token: 'none',
        ...rest,
      })),
    },
    // So that no test depends on the machine's speed.
    { logStream, isOverloaded: () => false, ...extras },
  )
  leakWatch.watchCookies(app)
  publicHosts.set(port, options.publicUrl.host)
  const sockets: Socket[] = []
  app.server.on('connection', (socket) => sockets.push(socket))
  await app.listen({ host: '127.0.0.1', port })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= app.close()
    app.draining.cutOff()
    return closed
  }
  t.after(close)
  return { app, url, port, logs, sockets, call: (path, options) => call(port, path, options), close }
}

export interface CallOptions {
  method?: string
  headers?: OutgoingHttpHeaders
  body?: Buffer | string
  /** A body in chunks, without a length. */
  chunked?: boolean
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  body: Buffer
  text: string
}

/** One request on a separate connection, with the CSRF header. Rejects when the answer is aborted. */
export async function call(port: number, path: string, options: CallOptions = {}): Promise<Reply> {
  const outgoing = open(port, path, options)
  const { body, chunked } = options
  if (chunked && body !== undefined) outgoing.write(body)
  outgoing.end(chunked ? undefined : body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const all = Buffer.concat(chunks)
  const { statusCode: status = 0, headers, rawHeaders } = incoming
  return { status, headers, rawHeaders, body: all, text: all.toString() }
}

/** A request whose body has not ended. */
export function open(port: number, path: string, { method, headers, body, chunked }: CallOptions = {}) {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : length
  const outgoing = request({
    host: '127.0.0.1',
    port,
    path,
    method: method ?? 'GET',
    agent: false,
    headers: { host: publicHost(port), 'x-csrf': '1', ...framing, ...headers },
  })
  // Without a listener, a connection that ends during the rest of an upload would fail the test after its answer.
  return outgoing.on('error', () => {})
}

/**
 * Sends these bytes unchanged, and returns everything until the gateway closes the connection.
 * @param bytes with the gateway's own host for `Host: GATEWAY`
 */
export async function exchange(port: number, bytes: string): Promise<string> {
  const socket = tcpConnect(port, '127.0.0.1')
  const sent = bytes.replaceAll('Host: GATEWAY\r\n', `Host: ${publicHost(port)}\r\n`)
  socket.write(Buffer.from(sent, 'latin1'))
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks).toString('latin1')
}

/** A GET with exactly this request target, without normalisation. */
export async function rawGet(port: number, target: string, headers: string[] = []) {
  const lines = [`Host: ${publicHost(port)}`, 'x-csrf: 1', 'Connection: close', ...headers]
  const answer = await exchange(port, `GET ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  return { status: Number(answer.split(' ', 2)[1]), answer, body: answer.split('\r\n\r\n')[1] ?? '' }
}

/** Signs in with the real issuer. @returns the `Cookie` header of the session */
export async function signIn(gateway: Gateway, user = 'alice'): Promise<string> {
  const browser = createHttpBrowser()
  await browser.signIn(gateway.url, user)
  const cookie = browser.cookies.headerFor(new URL(gateway.url))
  if (!cookie) throw new Error('Signing in gave no cookie')
  return cookie
}

/** Reads a stream until the received text contains `text`. */
export async function readUntil(stream: IncomingMessage, text: string): Promise<string> {
  let all = ''
  for await (const [chunk] of on(stream, 'data')) {
    all += String(chunk)
    if (all.includes(text)) return all
  }
  throw new Error('unreachable')
}

/** The code of an error body, after a check of its format. */
export function errorCode(reply: Pick<Reply, 'text'>): string {
  const body = JSON.parse(reply.text)
  for (const key of ['statusCode', 'code', 'error', 'details', 'requestId']) {
    if (!(key in body)) throw new Error(`No ${key} in ${reply.text}`)
  }
  return body.code
}

/** The URL of an upstream that refuses connections. */
export async function unreachableUrl(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`
}

/** A browser closes its connection. Resolves when the gateway has noticed. */
export async function goes({ sockets }: Gateway, outgoing: ClientRequest): Promise<void> {
  const ours = sockets.find(({ remotePort }) => remotePort === outgoing.socket?.localPort)
  if (!ours) throw new Error('The gateway knows no such connection')
  const gone = closed(ours)
  outgoing.destroy()
  await gone
}

/**
 * Holds requests to the token endpoint until they are released. `arrived` resolves with the first.
 * @param status to answer with, instead of tokens
 */
export function holdTokenRequests({ provider }: DemoIssuer, status?: number) {
  const arrived = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  provider.use(async (ctx, next) => {
    if (ctx.path !== '/token') return next()
    arrived.resolve()
    await released.promise
    if (status === undefined) await next()
    else ctx.status = status
  })
  return { arrived: arrived.promise, release: () => released.resolve() }
}
