import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { closed } from '../support/closed.ts'
import { until } from '../support/until.ts'
import {
  call,
  exchange,
  open,
  publicHost,
  readUntil,
  signIn,
  startGateway,
  startTcpUpstream,
  startUpstream,
} from './support.ts'

const eventStream = { 'content-type': 'text/event-stream' }

test('headers of an event stream arrive before its first event, and each event before the next', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, eventStream).flushHeaders()
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/events')
  outgoing.on('error', () => {}).end()
  t.after(() => outgoing.destroy())

  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {})
  assert.equal(incoming.headers['content-type'], 'text/event-stream')

  const [{ response } = assert.fail()] = upstream.arrivals
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    response.write(event)
    assert.equal(await readUntil(incoming, event), event)
  }
})

test('a browser that closes a stream ends it at the upstream', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, eventStream).write('data: 1\n\n')
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/events')
  outgoing.on('error', () => {}).end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {})
  await readUntil(incoming, 'data: 1')
  const [{ response } = assert.fail()] = upstream.arrivals
  const ended = closed(response)

  outgoing.destroy()

  await ended
  assert.equal(response.writableFinished, false)
})

test('a browser that disconnects before the answer aborts the upstream request', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x')
  outgoing.on('error', () => {}).end()
  const { response } = await upstream.nextArrival()
  const aborted = closed(response)

  outgoing.destroy()

  await aborted
  assert.equal(upstream.arrivals.length, 1)
  assert.deepEqual(errorsOf(gateway.logs), [])
})

for (const chunked of [false, true]) {
  test(`a browser that disconnects during an upload aborts it, ${chunked ? 'in chunks' : 'of known length'}`, async (t) => {
    const upstream = await startUpstream(t, ({ request }) => request.on('error', () => {}))
    const gateway = await startGateway(t, [{ target: upstream.url }])
    const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': 1000 }
    const outgoing = open(gateway.port, '/api/x', { method: 'POST', headers: framing })
    outgoing.on('error', () => {}).write('half')
    const { request } = await upstream.nextArrival()
    await readUntil(request, 'half')
    const gone = closed(request)

    outgoing.destroy()

    await gone
    assert.equal(request.complete, false)
    assert.deepEqual(errorsOf(gateway.logs), [])
  })
}

test('a client that pipelines requests and disconnects leaves none of them running', async (t) => {
  const upstream = await startUpstream(t, ({ response, url }) => {
    // More than all buffers on the way hold.
    if (url === '/2') response.write(Buffer.alloc(64 * 1024 * 1024))
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const socket = connect(gateway.port, '127.0.0.1')
  const head = `HTTP/1.1\r\nHost: ${publicHost(gateway.port)}\r\nx-csrf: 1\r\n\r\n`
  socket.write(`GET /api/1 ${head}GET /api/2 ${head}`)
  await until(() => upstream.arrivals.length === 2)
  const allGone = Promise.all(upstream.arrivals.map(({ response }) => closed(response)))

  socket.destroy()

  await allGone
})

test('a stream may last longer than the timeout, with pauses as long', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, eventStream).write('data: 1\n\n')
    setTimeout(() => response.end('data: 2\n\n'), 5000)
  })
  const gateway = await startGateway(t, [{ target: upstream.url, timeoutMs: 2000 }])
  const { text } = await gateway.call('/api/events')
  assert.equal(text, 'data: 1\n\ndata: 2\n\n')
})

const truncated = {
  'of known length': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
  'of known length, before its first byte': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
  'in chunks': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
  'in chunks, before its first byte': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'in an invalid chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n',
  compressed: 'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n',
}

for (const [how, answer] of Object.entries(truncated)) {
  for (const end of ['end', 'resetAndDestroy'] as const) {
    test(`an aborted answer is never treated as complete: ${how}, by ${end}`, async (t) => {
      const upstream = await startTcpUpstream(t, (socket) => socket.write(answer, () => socket[end]()))
      const gateway = await startGateway(t, [{ target: upstream.url }])
      const reply = call(gateway.port, '/api/x')
      await reply.then(
        // The reset may arrive before the headers.
        ({ status }) => assert.equal(status, 502),
        (error) => assert.match(error.code, /ECONNRESET|HPE_/),
      )
      assert.equal(upstream.requests(), 1)
      assert.deepEqual(
        errorsOf(gateway.logs).filter(({ err }) => !/^BFF_UPSTREAM/.test(codeOf(err))),
        [],
      )
    })
  }
}

test('connections to the upstream are kept for the next request', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  for (let i = 0; i < 5; i++) await gateway.call('/api/x')
  assert.equal(upstream.connections(), 1)
})

test('an HTTP/1.0 client is answered too', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.write('a')
    response.end('b')
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const answer = await exchange(gateway.port, 'GET /api/x HTTP/1.0\r\nx-csrf: 1\r\n\r\n')
  assert.match(answer, /^HTTP\/1.1 200 OK\r\n.*\r\n\r\nab$/s)
})

/** Lines of level error. */
function errorsOf(logs: Record<string, unknown>[]) {
  return logs.filter(({ level }) => Number(level) >= 50)
}

function codeOf(err: unknown): string {
  return (err as { code?: string } | undefined)?.code ?? ''
}

for (const [title, type] of [
  ['a logout ends the event streams of the session', 'text/event-stream'],
  ['a logout ends event streams in any spelling', 'Text/Event-Stream;charset=UTF-8'],
  ['a logout ends answers that last longer than the timeout of the upstream', 'application/octet-stream'],
] as const) {
  test(title, async (t) => {
    const issuer = await startIssuer()
    t.after(() => issuer.close())
    const upstream = await startUpstream(t, ({ response }) => {
      response.writeHead(200, { 'content-type': type })
      response.write('data: 1\n\n')
    })
    const gateway = await startGateway(t, [{ target: upstream.url, token: 'user', timeoutMs: 2000 }], {
      issuer,
    })
    const cookie = await signIn(gateway)
    const outgoing = open(gateway.port, '/api/events', { headers: { cookie } })
    outgoing.on('error', () => {}).end()
    const [stream] = (await once(outgoing, 'response')) as [IncomingMessage]
    stream.on('error', () => {})
    await readUntil(stream, 'data: 1')
    const bothClosed = [closed(stream), closed(upstream.arrivals[0]?.response as ServerResponse)]

    await gateway.call('/bff/logout', { headers: { cookie, 'sec-fetch-site': 'same-origin' } })

    await Promise.all(bothClosed)
  })
}
