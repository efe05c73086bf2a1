import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { heldBytes, writtenUntilHeld } from './back-pressure.ts'
import { startGateway } from './support.ts'

/** Both ends of a WebSocket through the gateway. */
async function connect(t: TestContext) {
  const api = createServer()
  const sockets = new WebSocketServer({ server: api })
  const target = `http://127.0.0.1:${await listen(api, 0)}`
  t.after(() => stop(api))
  const gateway = await startGateway(t, [{ target }])
  const browser = new WebSocket(`ws://localhost:${gateway.port}/api`, { headers: { origin: gateway.url } })
  const [[upstream]] = (await Promise.all([once(sockets, 'connection'), once(browser, 'open')])) as [
    [WebSocket],
    unknown,
  ]
  t.after(() => {
    browser.terminate()
    upstream.terminate()
  })
  return { browser, upstream }
}

for (const from of ['browser', 'upstream'] as const) {
  const to = from === 'browser' ? 'upstream' : 'browser'

  test(`a WebSocket's ${to} that does not read applies back-pressure to its ${from}, and loses nothing`, async (t) => {
    const ends = await connect(t)
    ends[to].pause()
    const stream = createWebSocketStream(ends[from]).on('error', () => {})

    const written = await writtenUntilHeld(stream)
    assert.ok(written < heldBytes, `${written} bytes`)

    let received = 0
    ends[to].on('message', (data: Buffer) => (received += data.length))
    ends[to].resume()
    stream.end()
    await closed(ends[to])
    assert.equal(received, written)
  })
}

test('messages sent before the upstream has opened arrive in order', async (t) => {
  const api = createServer()
  const sockets = new WebSocketServer({ server: api })
  const received: string[] = []
  sockets.on('connection', (socket) => socket.on('message', (data) => received.push(String(data))))
  const target = `http://127.0.0.1:${await listen(api, 0)}`
  t.after(() => stop(api))
  const gateway = await startGateway(t, [{ target }])
  const socket = new WebSocket(`ws://localhost:${gateway.port}/api`, { headers: { origin: gateway.url } })
  await once(socket, 'open')
  const messages = Array.from({ length: 100 }, (_, i) => String(i))
  for (const message of messages) socket.send(message)
  socket.close()
  await closed(socket)
  assert.deepEqual(received, messages)
})
