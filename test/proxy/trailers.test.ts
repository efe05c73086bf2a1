import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { exchange, open, startGateway, startTcpUpstream, startUpstream } from './support.ts'

const answer =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, Set-Cookie\r\n\r\n' +
  '4\r\nbody\r\n0\r\nX-Checksum: 1\r\nSet-Cookie: bff=evil\r\n\r\n'

test("an upstream's trailers are dropped, and its body is whole", async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => socket.write(answer))
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const head = 'GET /api/x HTTP/1.1\r\nHost: a\r\nx-csrf: 1\r\nConnection: close, TE\r\nTE: trailers'
  const received = await exchange(gateway.port, `${head}\r\n\r\n`)
  assert.match(received, /\r\n\r\n4\r\nbody\r\n0\r\n\r\n$/)
  assert.doesNotMatch(received, /trailer:|checksum|evil/i)
})

test('trailers are never asked for', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  await gateway.call('/api/x', { headers: { te: 'trailers', connection: 'te' } })
  assert.equal(upstream.arrivals[0]?.headers['te'], undefined)
})

test("a browser's trailers are dropped: no header of theirs gets past the rules", async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x', {
    method: 'POST',
    headers: { 'transfer-encoding': 'chunked', trailer: 'authorization' },
  })
  outgoing.write('body')
  outgoing.addTrailers({ authorization: 'Bearer forged' })
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.resume()
  const [arrival] = upstream.arrivals
  assert.equal(arrival?.request.complete, true)
  assert.deepEqual(arrival?.request.trailers, {})
  assert.equal(arrival?.headers.trailer, undefined)
})
