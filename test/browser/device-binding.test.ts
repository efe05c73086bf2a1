import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { WebSocketServer } from 'ws'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { certificateAuthority } from '../support/certificate.ts'
import { refreshPath, registerPath } from '../support/device.ts'
import { freePort } from '../support/free-port.ts'
import { newKey } from '../support/inject-gateway.ts'
import { until } from '../support/until.ts'
import { openProfile } from './bound-chromium.ts'
import { fillIn, useBrowser } from './puppeteer.ts'

const host = 'app.example.com'
const openInFirefox = useBrowser('firefox', { acceptInsecureCerts: true })

/** Long enough for a busy machine to send a request with a fresh proof, short enough to see some expire. */
const proofMs = 4000

test('Chromium binds a session and renews its proof; copied cookies die; a browser without it works', async (t) => {
  const gateway = await startSecureGateway(t)
  const { url, authority, answers } = gateway
  const answered = (path: string, what: RegExp) =>
    answers.filter((answer) => answer.path === path && what.test(answer.body)).length

  // The issuer is on another site, so the registration is sent without cookies.
  const owner = await openProfile(t, { authority, host })
  const page = await signIn(owner, url)
  await until(() => answered(registerPath, /session_identifier/) === 1)
  await until(async () => (await sessionOf(page)).bound === true)

  const copied = (await owner.cookies(url)).filter(({ name }) => name.startsWith('__Host-bff'))
  assert.deepEqual(
    copied.map(({ name, httpOnly, secure, sameSite }) => [name, httpOnly, secure, sameSite]).toSorted(),
    [
      ['__Host-bff', true, true, 'Strict'],
      ['__Host-bff-bound', true, true, 'Strict'],
    ],
  )
  const session = copied.filter(({ name }) => name === '__Host-bff')
  assert.equal((await sendFrom(gateway, session)).code, 'BFF_SESSION_NOT_BOUND')

  // Another profile, with all cookies.
  const other = await openProfile(t, { authority, host, bindsSessions: false })
  await other.addCookies(copied)
  const stolen = await other.newPage()
  await stolen.goto(url)
  await until(async () => (await sessionOf(stolen)).status === 401)
  assert.equal((await sessionOf(stolen)).code, 'BFF_SESSION_NOT_BOUND')

  // The owner's proof has expired meanwhile: the browser renews it before it sends the request.
  const refreshed = answered(refreshPath, /session_identifier/)
  assert.deepEqual(await call(page), ['over HTTP', 'over WebSocket'])
  await until(async () => {
    assert.equal((await sessionOf(page)).status, 200)
    return answered(refreshPath, /session_identifier/) >= refreshed + 2
  })

  await page.goto(`${url}/bff/logout`)
  await page.goto(url)
  assert.equal((await sessionOf(page)).isAuthenticated, false)
  await until(async () => {
    await sessionOf(page)
    return answered(refreshPath, /^\{"continue":false\}$/) >= 1
  })

  // A browser that binds no sessions.
  const registrations = answered(registerPath, /./)
  await other.clearCookies()
  const unbound = await signIn(other, url)
  assert.equal((await sessionOf(unbound)).bound, false)
  assert.deepEqual(await call(unbound), ['over HTTP', 'over WebSocket'])
  assert.equal(answered(registerPath, /./), registrations)
})

test('Firefox, which binds no sessions, works as before', async (t) => {
  const { url, answers } = await startSecureGateway(t, 'localhost')
  const page = await (await openInFirefox(t)).newPage()
  await page.goto(`${url}/bff/login`)
  await fillIn(page)
  await until(() => page.evaluate("document.body?.innerText.includes('The frontend')"))

  for (let request = 0; request < 2; request++) {
    const text = await page.evaluate(
      "fetch('/bff/session', { headers: { 'x-csrf': '1' } }).then((it) => it.text())",
    )
    const { isAuthenticated, bound } = JSON.parse(String(text))
    assert.deepEqual([isAuthenticated, bound], [true, false])
  }
  assert.deepEqual(answers, [])
})

interface SessionAnswer {
  status: number
  code?: string
  isAuthenticated?: boolean
  bound?: boolean
}

interface SecureGateway {
  url: string
  port: number
  /** PEM */
  authority: string
  /** To the requests that Chromium sends by itself. */
  answers: { path: string; body: string }[]
}

async function startSecureGateway(t: TestContext, name = host): Promise<SecureGateway> {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const authority = certificateAuthority()
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-bound-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const { cert, key } = authority.issue(name)
  write('index.html', '<!doctype html><link rel="icon" href="data:,"><p>The frontend</p>')
  const port = await freePort()
  const url = `https://${name}:${port}`
  issuer.allowGateway(url)
  const { options } = loadConfig({
    PUBLIC_URL: url,
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: newKey(),
    TLS_CERT_FILE: write('tls.crt', cert),
    TLS_KEY_FILE: write('tls.key', key),
    STATIC_DIR: folder,
    API_URL: await startApi(t),
    LOG_LEVEL: 'silent',
  })
  const app = buildApp(options, { isOverloaded: () => false, bindingTimes: { proofMs } })
  const answers: SecureGateway['answers'] = []
  app.addHook('onSend', async ({ url: path }, _reply, payload) => {
    if (path.startsWith('/bff/device-bound/')) answers.push({ path, body: String(payload) })
    return payload
  })
  await app.listen({ host: '127.0.0.1', port })
  t.after(() => app.close())
  return { url, port, authority: authority.cert, answers }
}

async function startApi(t: TestContext): Promise<string> {
  const server = createServer((_request, response) => response.end('over HTTP'))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.send('over WebSocket'))
  const port = await listen(server, 0)
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return `http://127.0.0.1:${port}`
}

async function signIn(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(`${url}/bff/login`)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('The frontend').waitFor()
  return page
}

/** What a script of the page gets of its session, and the status. */
function sessionOf(page: Page): Promise<SessionAnswer> {
  return page.evaluate(async () => {
    const response = await fetch('/bff/session', { headers: { 'x-csrf': '1' } })
    return { status: response.status, ...((await response.json()) as object) }
  })
}

/** Calls the API, and opens a WebSocket. */
function call(page: Page): Promise<unknown[]> {
  return page.evaluate(async () => {
    const answer = await fetch('/api/orders', { headers: { 'x-csrf': '1' } })
    const text = await answer.text()
    const socket = new WebSocket('/api/socket')
    const message = await new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => resolve(data)
      socket.onerror = () => reject(new Error('There is no WebSocket'))
    })
    socket.close()
    return [text, message]
  })
}

/** The answer to a request with these cookies, sent by no browser. */
async function sendFrom(
  { port, authority }: SecureGateway,
  cookies: { name: string; value: string }[],
): Promise<SessionAnswer> {
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const headers = { host: `${host}:${port}`, cookie, 'x-csrf': '1' }
  const sent = request({
    port,
    host: '127.0.0.1',
    servername: host,
    ca: authority,
    path: '/bff/session',
    headers,
  })
  const [response] = await once(sent.end(), 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, ...JSON.parse(body) }
}
