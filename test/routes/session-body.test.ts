import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { exchange, startGateway } from '../proxy/support.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const bodies: [payload: string | undefined, type: string | undefined][] = [
  [undefined, undefined],
  [undefined, 'application/json'],
  ['', 'application/json'],
  ['{}', 'application/json'],
  ['{"a":', 'application/json'],
  ['{"__proto__":{"isAuthenticated":true}}', 'application/json; charset=utf-8'],
  ['a=b', 'application/x-www-form-urlencoded'],
  ['<a/>', 'application/xml'],
  ['text', 'text/plain'],
  ['text', undefined],
  ['text', 'x/unknown; y'],
  ['--x\r\n', 'multipart/form-data; boundary=x'],
  ['x'.repeat(2_000_000), 'application/octet-stream'],
]

for (const [payload, type] of bodies) {
  const what =
    payload === undefined ? 'no body' : `${payload.length} bytes (${JSON.stringify(payload.slice(0, 12))})`
  test(`POST /bff/session accepts ${what} of type ${type}`, async (t) => {
    const { newBrowser } = await startInjectGateway(t)
    const browser = newBrowser()
    await browser.signIn()
    const headers = { ...(type !== undefined && { 'content-type': type }) }

    const ask = () =>
      browser.call('/bff/session', { method: 'POST', headers, ...(payload !== undefined && { payload }) })

    assertView(await ask(), true)
    await browser.open('/bff/logout')
    assertView(await ask(), false)
  })
}

function assertView(response: LightMyRequestResponse, isAuthenticated: boolean): void {
  assert.equal(response.statusCode, 200, response.body)
  assert.equal(response.json().isAuthenticated, isAuthenticated)
  assert.equal(response.headers['cache-control'], 'no-store')
}

const onTheWire: Record<string, string> = {
  'known length': 'Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
  chunks: 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'chunks without Content-Type': 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'unknown length': '\r\n',
}

for (const [what, rest] of Object.entries(onTheWire)) {
  test(`after a body of ${what} the connection serves the next request`, async (t) => {
    const gateway = await startGateway(t, [])
    const first = `POST /bff/session HTTP/1.1\r\nHost: x\r\nx-csrf: 1\r\n${rest}`
    const second = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

    const answers = await exchange(gateway.port, first + second)

    assert.equal(answers.match(/HTTP\/1\.1 200 OK/g)?.length, 2, answers)
    assert.match(answers, /"isAuthenticated":false[\s\S]*\{"status":"ok"\}$/)
  })
}
