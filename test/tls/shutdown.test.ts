import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import { startIssuer } from '../../demo/issuer.ts'
import { startUpstream } from '../proxy/support.ts'
import { closed } from '../support/closed.ts'
import { freePort } from '../support/free-port.ts'
import { type Environment, type Gateway, startGateway } from '../support/gateway.ts'
import { beginHandshake, connectTo, openStream, replyOf, request, writeCertificate } from './support.ts'

const wellEnded = { code: 0, signal: null }

/** The gateway in a separate process, in front of an API at `/open`. */
async function start(t: TestContext, env: Environment = {}) {
  const { cert, certFile, keyFile, folder } = writeCertificate(t)
  const upstream = await startUpstream(t, () => {})
  const file = join(folder, 'config.json')
  const open = { prefix: '/open', target: upstream.url, token: 'none' }
  writeFileSync(file, JSON.stringify({ upstreams: [open] }))
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const port = String(await freePort())
  const url = `https://localhost:${port}`
  const tls = { PORT: port, PUBLIC_URL: url, TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  const gateway = await startGateway(t, {
    issuer,
    apiUrl: upstream.url,
    env: { ...tls, CONFIG_FILE: file, ...env },
  })
  return { gateway, upstream, port: Number(port), cert, connect: () => connectTo(t, url, cert) }
}

function begun(gateway: Gateway) {
  return gateway.logged(({ event }) => event === 'shutdown.begun')
}

test('after SIGTERM connections get GOAWAY, and new ones are still served', async (t) => {
  const { gateway, connect } = await start(t, { SHUTDOWN_DELAY: '10m' })
  const idle = await connect()
  assert.equal((await request(idle, '/healthz')).status, 200)
  const toldToGo = once(idle, 'goaway')

  gateway.signal('SIGTERM')
  await toldToGo
  const late = await connect()
  const lateToldToGo = once(late, 'goaway')
  const { status, headers } = await request(late, '/readyz')

  assert.equal(status, 503)
  assert.equal(headers.connection, undefined)
  // While the gateway still listens.
  await lateToldToGo
  await gateway.kill()
})

test('requests in flight are answered, and then the process exits, whatever connections are open', async (t) => {
  const { gateway, upstream, connect: open, port, cert } = await start(t, { SHUTDOWN_TIMEOUT: '1h' })
  const busy = await open()
  await open()
  const byHttp1 = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: cert })
  await once(byHttp1.resume(), 'secureConnect')
  const stream = openStream(busy, '/open/slow')
  const answer = replyOf(stream)
  const { response } = await upstream.nextArrival()

  gateway.signal('SIGTERM')
  await begun(gateway)
  await closed(byHttp1)
  response.end('at last')

  const { status, text } = await answer
  assert.deepEqual([status, text], [200, 'at last'])
  assert.deepEqual(await gateway.exited, wellEnded)
})

test('a handshake that completes during the shutdown does not delay it', async (t) => {
  const { gateway, port, cert } = await start(t, { SHUTDOWN_TIMEOUT: '1h' })
  const unused = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: cert })
  await once(unused, 'secureConnect')
  const late = await beginHandshake(t, port, cert)

  gateway.signal('SIGTERM')
  await closed(unused.resume())
  late.finish()

  await late.closed
  assert.deepEqual(await gateway.exited, wellEnded)
})

test('a download without an end is cut off at SHUTDOWN_TIMEOUT, and the end is still a good one', async (t) => {
  const { gateway, upstream, connect } = await start(t, { SHUTDOWN_TIMEOUT: '300ms' })
  const stream = openStream(await connect(), '/open/download')
  const cutOff = assert.rejects(replyOf(stream))
  const { response } = await upstream.nextArrival()
  response.writeHead(200, { 'content-type': 'application/octet-stream' }).write('1')
  await once(stream, 'response')

  assert.deepEqual(await gateway.stop(), wellEnded)
  await cutOff
})

test('an event stream ends cleanly when closing starts', async (t) => {
  const { gateway, upstream, connect } = await start(t, { SHUTDOWN_TIMEOUT: '1h' })
  const stream = openStream(await connect(), '/open/events')
  const reply = replyOf(stream)
  const { response } = await upstream.nextArrival()
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  await once(stream, 'response')

  gateway.signal('SIGTERM')

  assert.equal((await reply).text, 'data: 1\n\n')
  assert.deepEqual(await gateway.exited, wellEnded)
})
