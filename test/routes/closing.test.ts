import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { publicHost, startGateway } from '../proxy/support.ts'

const request = (port: number) => `GET /healthz HTTP/1.1\r\nHost: ${publicHost(port)}\r\n\r\n`

test('a request that has arrived on a new connection when closing starts is answered', async (t) => {
  const { app, port } = await startGateway(t, [])
  // The gateway has not read the request yet.
  app.server.once('connection', () => void app.close())
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())

  client.write(request(port))

  assert.match(await text(client), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
})

test('a request that has arrived on an idle connection when closing starts is answered', async (t) => {
  const { app, port } = await startGateway(t, [])
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  client.write(request(port))
  const [first] = await once(client, 'data')
  assert.match(String(first), /^HTTP\/1\.1 200 /)

  client.write(request(port))
  void app.close()

  assert.match(await text(client), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
})
