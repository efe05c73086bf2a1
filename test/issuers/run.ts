import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { freePort } from '../support/free-port.ts'

/**
 * Signs in, renews and logs out at an issuer that is not ours: `node test/issuers/run.ts`. Needs Python 3.10 or newer with
 * `pip install django-oauth-toolkit`; `PYTHON` names it, such as `PYTHON=venv/bin/python`.
 */
const python = process.env['PYTHON'] ?? 'python3'
const needed =
  'Needs Python 3.10 or newer with: pip install django-oauth-toolkit (PYTHON=venv/bin/python names it)'

try {
  execFileSync(python, ['-c', 'import oauth2_provider'], { stdio: 'ignore' })
} catch {
  console.error(needed)
  process.exit(2)
}

const [issuerPort, port] = [await freePort(), await freePort()]
const [issuer, url] = [`http://localhost:${issuerPort}/o`, `http://localhost:${port}`]
const clientSecret = randomBytes(24).toString('base64url')
const provider = spawn(
  python,
  [
    join(import.meta.dirname, 'django_oauth_toolkit.py'),
    String(issuerPort),
    `${url}/bff/callback`,
    `${url}/bff/logout-callback`,
  ],
  { env: { ...process.env, CLIENT_SECRET: clientSecret }, stdio: ['ignore', 'pipe', 'pipe'] },
)
let errors = ''
provider.stderr.on('data', (chunk) => {
  errors += chunk
})

const { options } = loadConfig({
  PUBLIC_URL: url,
  LOG_LEVEL: 'silent',
  OIDC_ISSUER: issuer,
  OIDC_CLIENT_ID: 'gateway',
  OIDC_CLIENT_SECRET: clientSecret,
  SESSION_KEYS: randomBytes(32).toString('base64'),
})
const app = buildApp(options, {
  async localRoutes(scope: FastifyInstance) {
    scope.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  },
})
try {
  await listening(provider)
  await app.listen({ port, host: 'localhost' })
  const browser = createHttpBrowser()
  const headers = { 'x-csrf': '1' }
  const step = async (what: string, act: () => Promise<void>) => {
    await act()
    console.log(`ok  ${what}`)
  }
  await step('signs in', async () => {
    const page = await browser.signIn(url, 'alice')
    const callback = browser.answers.find((answer) => answer.url.includes('/bff/callback'))
    assert.equal(callback?.status, 302, page.body.slice(0, 2000))
    assert.equal((await browser.fetch(`${url}/bff/user`, { headers })).status, 200)
  })
  for (const time of ['once', 'twice'])
    await step(`renews ${time}`, async () => {
      assert.equal((await browser.fetch(`${url}/renew`, { headers })).body, 'renewed')
    })
  await step('logs out here and there', async () => {
    await browser.signOut(url)
    assert.ok(browser.answers.some((answer) => answer.url.startsWith(`${issuer}/logout/`)))
    assert.equal((await browser.fetch(`${url}/bff/user`, { headers })).status, 401)
  })
} catch (error) {
  console.error(error)
  console.error(errors.slice(-3000))
  process.exitCode = 1
} finally {
  await app.close()
  provider.kill()
}

/** Resolves when the issuer has said so. */
async function listening({ stdout }: ChildProcess): Promise<void> {
  assert.ok(stdout)
  for await (const line of createInterface(stdout)) if (line === 'listening') return
  assert.fail('The issuer ended without listening')
}
