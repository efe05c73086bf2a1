import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import {
  type Answer,
  exchange,
  type Gateway,
  ok,
  open,
  readUntil,
  startGateway,
  startUpstream,
  type Upstream,
} from './support.ts'

/** Every time limit at its minimum, so that these seconds stand for an hour of silence. */
const short = { timeoutMs: 2000, connectTimeoutMs: 2000, keepAliveTimeoutMs: 1000, connections: 10 }
const limits = { headersTimeoutMs: 1000, bodyIdleTimeoutMs: 1000 }

/** A stream at `/events`, `ok` at `/ok`, and silence elsewhere. */
const streams: Answer = (arrival) => {
  const { url, request, response } = arrival
  request.resume().on('error', () => {})
  if (url === '/ok') ok(arrival)
  if (url === '/events') response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
}

/** Resolves when each limit has ended a request that began later than now. */
async function everyLimitHasStruck({ port, call }: Gateway, upstream: Upstream): Promise<void> {
  const idle = call('/api/ok')
  const { request } = await upstream.nextArrival()
  const [silent, noBody, , status] = await Promise.all([
    exchange(port, ''),
    exchange(
      port,
      'POST /api/silent HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nContent-Length: 9\r\n\r\nhalf',
    ),
    Promise.all([idle, closed(request.socket)]),
    call('/api/silent').then(({ status }) => status),
  ])
  assert.deepEqual([silent, noBody.slice(0, 12), status], ['', 'HTTP/1.1 408', 504])
}

for (const [how, options] of [
  ['GET', {}],
  ['POST', { method: 'POST', body: 'question', headers: { 'content-type': 'text/plain' } }],
] as const) {
  test(`an event stream may be silent for longer than any limit: ${how}`, async (t) => {
    const upstream = await startUpstream(t, streams)
    const gateway = await startGateway(t, [{ target: upstream.url, ...short }], { extras: { limits } })
    const outgoing = open(gateway.port, '/api/events', options)
    outgoing.on('error', () => {}).end('body' in options ? options.body : undefined)
    t.after(() => outgoing.destroy())
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    await readUntil(incoming, 'data: 1')

    await everyLimitHasStruck(gateway, upstream)

    upstream.arrivals[0]?.response.write('data: 2\n\n')
    assert.equal(await readUntil(incoming, 'data: 2'), 'data: 2\n\n')
  })
}

test('a WebSocket may be silent for longer than any limit', async (t) => {
  const upstream = await startUpstream(t, streams)
  const api = createServer()
  const sockets = new WebSocketServer({ server: api })
  const target = `http://127.0.0.1:${await listen(api, 0)}`
  t.after(() => stop(api))
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url, ...short },
      { prefix: '/ws', target, ...short },
    ],
    {
      extras: { limits },
    },
  )
  const socket = new WebSocket(`ws://localhost:${gateway.port}/ws`, { headers: { origin: gateway.url } })
  const [[ours]] = await Promise.all([once(sockets, 'connection'), once(socket, 'open')])

  await everyLimitHasStruck(gateway, upstream)

  ours.send('still here')
  assert.equal(String((await once(socket, 'message'))[0]), 'still here')
  socket.terminate()
  await closed(ours)
})
