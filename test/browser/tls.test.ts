import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startTlsGateway } from '../tls/support.ts'
import { useChromium } from './chromium.ts'

const openPage = useChromium()

test('a browser signs in, calls and streams over HTTP/2, and opens WebSockets too', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const env = { STATIC_DIR: writePage(t) }
  const target = await startApi(t)
  const gateway = await startTlsGateway(t, [{ target, token: 'user' }], { issuer, env })
  const { page, faults } = await openPage(t, { ignoreHTTPSErrors: true })

  await page.goto(`${gateway.url}/bff/login`)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('The frontend').waitFor()
  const cookies = await page.context().cookies(gateway.url)
  const cookie = cookies.find(({ name }) => name === '__Host-bff')
  assert.deepEqual([cookie?.secure, cookie?.httpOnly, cookie?.sameSite], [true, true, 'Strict'])
  const response = await page.reload()
  assert.match((await response?.headerValue('strict-transport-security')) ?? '', /^max-age=\d+/)

  const seen = await page.evaluate(async () => {
    const headers = { 'x-csrf': '1' }
    const echo = await fetch('/api/echo', { method: 'POST', headers, body: 'over HTTP/2' })
    const body = new Blob(['by a ', 'stream']).stream()
    const streamed = await fetch('/api/echo', {
      method: 'POST',
      headers,
      body,
      duplex: 'half',
    } as RequestInit)
    const reader = (await fetch('/api/events', { headers })).body?.getReader()
    const event = new TextDecoder().decode((await reader?.read())?.value)
    await reader?.cancel()

    const socket = new WebSocket('/api/socket')
    const message = new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => resolve(data)
      socket.onerror = reject
    })
    socket.onopen = () => socket.send('over WebSocket')

    const echoes = [await echo.text(), await streamed.text(), event, await message]
    // In the types `performance` is Node's.
    const entries = performance.getEntries() as { nextHopProtocol?: string }[]
    return { echoes, protocols: entries.flatMap(({ nextHopProtocol }) => nextHopProtocol ?? []) }
  })

  assert.deepEqual(seen.echoes, ['over HTTP/2', 'by a stream', 'data: 1\n\n', 'over WebSocket'])
  assert.ok(seen.protocols.length >= 3)
  assert.deepEqual([...new Set(seen.protocols)], ['h2'])
  assert.deepEqual(faults, [])
})

/** Echoes requests and WebSocket messages, and has an endless event stream. */
async function startApi(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url === '/echo') return void request.pipe(response)
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  const port = await listen(server, 0)
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return `http://127.0.0.1:${port}`
}

function writePage(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-page-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><p>The frontend</p>',
  )
  return folder
}
