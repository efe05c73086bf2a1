import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { freePort } from '../support/free-port.ts'
import { startGateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'

test("one server serves two frontends: both issuers' metadata are fetched at the start, calls and WebSockets go to each one's API", async (t) => {
  const port = await freePort()
  const url = `http://localhost:${port}`
  const issuers = [await startIssuer(), await startIssuer({ clientId: 'desk' })] as const
  for (const issuer of issuers) t.after(() => issuer.close())
  issuers[1].allowGateway(`${url}/desk`)
  const [goods, tickets] = [await startSocketApi(t, 'goods'), await startSocketApi(t, 'tickets')]
  const { issuer, clientId, clientSecret } = issuers[1]
  const file = fileIn(t, {
    cookie: { name: 'shop' },
    upstreams: [{ prefix: '/api', target: goods }],
    frontends: [
      { publicUrl: url },
      {
        publicUrl: `${url}/desk`,
        oidc: { issuer, clientId, clientSecret },
        cookie: { name: 'desk' },
        upstreams: [{ prefix: '/api', target: tickets }],
      },
    ],
  })
  const env = { CONFIG_FILE: file, PORT: String(port), API_URL: '' }
  const gateway = await startGateway(t, { issuer: issuers[0], apiUrl: '', env })
  await until(async () => (await fetch(`${url}/readyz`)).status === 200)

  const browser = createHttpBrowser()
  await browser.signIn(url, 'alice')
  await browser.signIn(`${url}/desk`, 'bob')
  for (const [base, api] of [
    [url, 'goods'],
    [`${url}/desk`, 'tickets'],
  ] as const) {
    const answer = await browser.fetch(`${base}/api/name`, { headers: { 'x-csrf': '1' } })
    assert.equal(answer.body, api)
    const cookie = browser.cookies.headerFor(new URL(base)) ?? ''
    const socket = new WebSocket(`${base.replace('http', 'ws')}/api/name`, {
      headers: { origin: url, cookie },
    })
    const [said] = await once(socket, 'message')
    assert.equal(String(said), api)
    socket.close()
  }
  assert.deepEqual(
    issuers.map(({ events }) => events.grants('authorization_code').length),
    [1, 1],
  )

  const { code } = await gateway.stop('SIGTERM')
  assert.equal(code, 0)
})

/** Answers its name, over HTTP and WebSocket. */
async function startSocketApi(t: TestContext, name: string): Promise<string> {
  const server = createServer((_request, response) => response.end(name))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.send(name))
  const port = await listen(server, 0)
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return `http://localhost:${port}`
}

function fileIn(t: TestContext, content: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontends-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'gateway.json')
  writeFileSync(path, JSON.stringify(content))
  return path
}
