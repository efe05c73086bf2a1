import assert from 'node:assert/strict'
import { after, before, type TestContext, test } from 'node:test'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { type BrowserGateway, startGateway } from '../browser/gateway.ts'

let issuer: DemoIssuer
before(async () => {
  issuer = await startIssuer()
})
after(() => issuer.close())

/** A gateway on a port of localhost. */
async function start(t: TestContext, env: Record<string, string> = {}) {
  const lines: string[] = []
  const logStream = { write: (line: string) => void lines.push(line) }
  const gateway = await startGateway(issuer, { LOG_LEVEL: 'warn', ...env }, '', 'localhost', { logStream })
  t.after(() => gateway.close())
  return { ...gateway, warnings: () => lines.filter((line) => line.includes('"cookie.unreadable"')) }
}

function openJar() {
  const browser = createHttpBrowser()
  const isSignedIn = async ({ url }: BrowserGateway) =>
    (await browser.fetch(`${url}/bff/user`, { headers: { 'x-csrf': '1' } })).status === 200
  return { browser, isSignedIn }
}

test('a gateway on another port of localhost leaves the session cookie as it is until a login there', async (t) => {
  const [first, second] = [await start(t), await start(t)]
  const { browser, isSignedIn } = openJar()
  await browser.signIn(first.url, 'alice')

  assert.equal(await isSignedIn(second), false)
  await browser.open(`${second.url}/bff/logout`)
  await browser.open(`${second.url}/bff/callback?code=x&state=y`)
  assert.equal(await isSignedIn(first), true)
  assert.deepEqual(second.warnings(), [])

  await browser.signIn(second.url, 'alice')
  assert.equal(await isSignedIn(first), false)
  await browser.signIn(first.url, 'alice')
  await browser.signIn(second.url, 'alice')
  for (const { warnings } of [first, second]) {
    assert.equal(warnings().length, 1)
    assert.match(warnings().join(), /set a different COOKIE_NAME for each/)
  }
})

test('two gateways on localhost with a COOKIE_NAME each keep their sessions apart', async (t) => {
  const [first, second] = [await start(t), await start(t, { COOKIE_NAME: 'bff-second' })]
  const { browser, isSignedIn } = openJar()
  await browser.signIn(first.url, 'alice')
  await browser.signIn(second.url, 'alice')
  assert.equal(await isSignedIn(first), true)
  assert.equal(await isSignedIn(second), true)

  await browser.signOut(second.url)
  assert.equal(await isSignedIn(first), true)
  assert.equal(await isSignedIn(second), false)
  assert.deepEqual([...first.warnings(), ...second.warnings()], [])
})
