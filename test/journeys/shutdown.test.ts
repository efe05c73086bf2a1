import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { type Environment, type Gateway, runServer, startGateway } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { call, sayExpiresIn, sessionOf, startWorld } from './world.ts'

const wellEnded = { code: 0, signal: null }

test('after SIGTERM /readyz answers 503, requests are served for SHUTDOWN_DELAY, then the process exits with 0', async (t) => {
  const { gateway } = await startWithUpstream(t, { SHUTDOWN_DELAY: '5s' })
  await until(async () => (await fetch(`${gateway.url}/readyz`)).ok)
  assert.notEqual((await fetch(`${gateway.url}/healthz`)).headers.get('connection'), 'close')

  gateway.signal('SIGTERM')
  await begun(gateway)

  const readiness = await fetch(`${gateway.url}/readyz`)
  assert.equal(readiness.status, 503)
  assert.deepEqual(await readiness.json(), { status: 'not ready', missing: ['shutting down'] })
  assert.equal(readiness.headers.get('connection'), 'close')
  const health = await fetch(`${gateway.url}/healthz`)
  assert.equal(health.status, 200)
  assert.equal(health.headers.get('connection'), 'close')
  assert.deepEqual(await gateway.exited, wellEnded)
  assert.ok(gateway.logs.some(({ event }) => event === 'shutdown.done'))
})

test('a request in flight is answered, although new connections are refused', async (t) => {
  const { gateway, upstreamRequest } = await startWithUpstream(t)
  const answer = fetch(`${gateway.url}/open/slow`, { headers: { 'x-csrf': '1' } })
  const [, response] = await upstreamRequest

  gateway.signal('SIGTERM')
  await until(() => isRefused(gateway))
  response.end('at last')

  assert.equal(await (await answer).text(), 'at last')
  assert.deepEqual(await gateway.exited, wellEnded)
})

test('SIGINT skips SHUTDOWN_DELAY', async (t) => {
  const { gateway } = await startWithUpstream(t, { SHUTDOWN_DELAY: '10m' })

  assert.deepEqual(await gateway.stop('SIGINT'), wellEnded)
})

test('a second signal ends the process at once', async (t) => {
  const { gateway, upstreamRequest } = await startWithUpstream(t, {
    SHUTDOWN_DELAY: '10m',
    SHUTDOWN_TIMEOUT: '1h',
  })
  const answer = assert.rejects(fetch(`${gateway.url}/open/slow`, { headers: { 'x-csrf': '1' } }))
  await upstreamRequest
  gateway.signal('SIGTERM')
  await begun(gateway)

  assert.deepEqual(await gateway.stop('SIGTERM'), { code: 1, signal: null })
  await answer
})

test('an endless download is aborted at SHUTDOWN_TIMEOUT, and the process still exits with 0', async (t) => {
  const { gateway, upstreamRequest } = await startWithUpstream(t, { SHUTDOWN_TIMEOUT: '300ms' })
  const streaming = fetch(`${gateway.url}/open/download`, { headers: { 'x-csrf': '1' } })
  const [, response] = await upstreamRequest
  response.writeHead(200, { 'content-type': 'application/octet-stream' }).write('1')
  const bytes = (await streaming).body?.getReader()
  assert.equal(new TextDecoder().decode((await bytes?.read())?.value), '1')

  assert.deepEqual(await gateway.stop(), wellEnded)
  await assert.rejects(async () => {
    while (!(await bytes?.read())?.done);
  })
})

test('event streams and WebSockets end when closing starts, and do not delay it', async (t) => {
  const { gateway, server, upstreamRequest } = await startWithUpstream(t, { SHUTDOWN_TIMEOUT: '1h' })
  const streaming = fetch(`${gateway.url}/open/events`, { headers: { 'x-csrf': '1' } })
  const [, response] = await upstreamRequest
  response.writeHead(200, { 'content-type': 'Text/Event-Stream;charset=utf-8' }).write('data: 1\n\n')
  const events = (await streaming).body?.getReader()
  assert.match(new TextDecoder().decode((await events?.read())?.value), /data: 1/)
  new WebSocketServer({ server })
  const socket = new WebSocket(`${gateway.url}/open/socket`, { headers: { origin: gateway.url } })
  await once(socket, 'open')
  const socketClosed = closed(socket)

  gateway.signal('SIGTERM')

  // A complete answer, so that the browser reconnects.
  assert.deepEqual(await events?.read(), { done: true, value: undefined })
  await socketClosed
  assert.deepEqual(await gateway.exited, wellEnded)
})

test('connections that browsers keep open or open in advance do not delay the shutdown', async (t) => {
  const { gateway, upstreamRequest } = await startWithUpstream(t, { SHUTDOWN_TIMEOUT: '1h' })
  const { hostname, port } = new URL(gateway.url)

  const inAdvance = connect(Number(port), hostname)
  await once(inAdvance, 'connect')
  const keepAlive = new Agent({ keepAlive: true })
  t.after(() => keepAlive.destroy())
  const options = { agent: keepAlive, headers: { 'x-csrf': '1' } }
  await read(get(`${gateway.url}/healthz`, options))
  // Its headers are sent before the signal, so they have no Connection: close.
  const begunBefore = get(`${gateway.url}/open/slow`, options)
  const [, response] = await upstreamRequest
  response.writeHead(200).write('first, ')
  const [answer] = (await once(begunBefore, 'response')) as [IncomingMessage]
  gateway.signal('SIGTERM')
  await until(() => isRefused(gateway))
  response.end('then')

  assert.equal(Buffer.concat(await answer.toArray()).toString(), 'first, then')
  assert.deepEqual(await gateway.exited, wellEnded)
})

test('the tokens of a renewal under way are stored before the process exits', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await redisUrl()
  t.after(redis.close)
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  const other = await startGateway(t, {
    issuer,
    apiUrl,
    redisUrl: redis.url,
    env: { PUBLIC_URL: gateway.url },
  })
  sayExpiresIn(issuer, 10)
  await browser.signIn(gateway.url, 'alice')
  const [grantBegun, answerGrant] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  issuer.provider.use(async (ctx, next) => {
    await next()
    if (ctx.path !== '/token') return
    grantBegun.resolve()
    await answerGrant.promise
  })
  const renewing = () => gateway.logs.some(({ event }) => event === 'token.renewal.request')
  await until(async () => (await call(browser, gateway)).status === 200 && renewing())
  await grantBegun.promise

  gateway.signal('SIGTERM')
  await until(() => isRefused(gateway))
  answerGrant.resolve()

  assert.deepEqual(await gateway.exited, wellEnded)
  assert.equal((await sessionOf(browser, other)).accessToken.renewals, 1)
  assert.equal((await call(browser, other)).status, 200)
  assert.equal(issuer.events.refreshGrants().length, 1)
})

test('a signal during the start ends the process cleanly too', async () => {
  // Signals itself as soon as it handles signals, which is before it listens.
  const script = `
    let sent = false
    process.on('newListener', (name) => {
      if (name !== 'SIGTERM' || sent) return
      sent = true
      process.nextTick(() => process.kill(process.pid, 'SIGTERM'))
    })`
  const NODE_OPTIONS = `--import=data:text/javascript;base64,${btoa(script)}`

  // Reading a folder takes time.
  const STATIC_DIR = join(import.meta.dirname, '../../demo/page')
  const { code, stdout } = await runServer([], { ...minimal, STATIC_DIR, NODE_OPTIONS })

  assert.equal(code, 0, stdout)
  assert.match(stdout, /"shutdown.begun".*"shutdown.done"/s)
})

const minimal: Environment = {
  HOST: '127.0.0.1',
  PORT: '0',
  SHUTDOWN_DELAY: '0s',
  // Nothing listens there.
  OIDC_ISSUER: 'http://127.0.0.1:9',
  OIDC_CLIENT_ID: 'gateway',
}

/** A gateway in front of an API with `/open` for all, and the first request that reaches the API. */
async function startWithUpstream(t: TestContext, env: Environment = {}) {
  const server = createServer()
  const target = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(() => stop(server))
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-shutdown-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'config.json')
  writeFileSync(file, JSON.stringify({ upstreams: [{ prefix: '/open', target, token: 'none' }] }))

  const { issuer, apiUrl } = await startWorld(t)
  const gateway = await startGateway(t, { issuer, apiUrl, env: { CONFIG_FILE: file, ...env } })
  const upstreamRequest = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>
  return { gateway, server, upstreamRequest }
}

function begun(gateway: Gateway) {
  return gateway.logged(({ event }) => event === 'shutdown.begun')
}

/** Whether it no longer listens. */
async function isRefused({ url }: Gateway): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  return once(socket, 'connect').then(
    () => {
      socket.destroy()
      return false
    },
    () => true,
  )
}

async function read(request: ReturnType<typeof get>): Promise<void> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  await response.toArray()
}
