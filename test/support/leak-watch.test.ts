import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startInjectGateway } from './inject-gateway.ts'
import { createLeakWatch } from './leak-watch.ts'
import { findLeaks, formsOf } from './leaks.ts'

const secret = 'an/opaque+secret=of-the-issuer'

test('a secret is found anywhere in a line, plain, escaped or in Base64', () => {
  const secrets = new Map(formsOf(secret).map((form) => [form, 'token']))
  for (const written of [secret, encodeURIComponent(secret), btoa(secret), `x${secret}x`]) {
    const text = `{"msg":"all is well"}\n{"msg":"it is ${written}"}\n`
    assert.deepEqual(
      findLeaks(text, secrets),
      [{ kind: 'token', line: `{"msg":"it is ${written}"}` }],
      written,
    )
  }
  assert.deepEqual(findLeaks(`{"msg":"${secret.slice(0, -1)}"}`, secrets), [])
})

test('the signature of a JWT is as secret as the whole', () => {
  const secrets = new Map(formsOf(`eyJh.eyJz.${'s'.repeat(86)}`).map((form) => [form, 'token']))
  assert.equal(findLeaks(`eyJh.x.${'s'.repeat(86)}`, secrets).length, 1)
  assert.deepEqual(findLeaks('eyJh.eyJz.', secrets), [])
})

test('the secrets of a session are known, and found when they are logged', async (t) => {
  const watch = createLeakWatch()
  const pushing = { requirePushedAuthorizationRequests: true }
  const { app, newBrowser, issuer } = await startInjectGateway(t, { watch, issuer: pushing })
  const issued: { access_token?: string; refresh_token?: string; id_token?: string } = {}
  issuer.provider.use(async (ctx, next) => {
    await next()
    if (ctx.path === '/token') Object.assign(issued, ctx.body)
  })
  const browser = newBrowser()
  const url = await browser.beginLogin()
  const callback = await browser.authorize(url)
  await browser.open(callback)
  assert.deepEqual(watch.leaks(), [])

  const { code = '', state = '' } = Object.fromEntries(new URL(callback, 'http://localhost').searchParams)
  const request_uri = url.searchParams.get('request_uri') ?? ''
  const cookie = browser.cookies.get('bff')?.value ?? ''
  const { access_token = '', refresh_token = '', id_token = '' } = issued
  const tokens = { access_token, refresh_token, id_token }
  const known = { code, state, request_uri, ...tokens, 'cookie bff': cookie }
  for (const [kind, value] of Object.entries({ ...known, 'client secret': issuer.clientSecret })) {
    app.log.trace({ event: 'leak' }, value)
    assert.equal(watch.leaks().at(-1)?.kind, kind)
  }
})

test('a test file whose tests pass fails if it has logged a secret', async () => {
  const file = join(import.meta.dirname, 'fixtures/leaking-file.ts')
  const { NODE_TEST_CONTEXT: _, NODE_V8_COVERAGE: __, ...env } = process.env
  const run = promisify(execFile)(process.execPath, ['--test', file], { env })
  await assert.rejects(run, ({ stdout }: { stdout: string }) => {
    assert.match(stdout, /✔ everything passes except what is logged/)
    assert.match(stdout, /A secret was logged/)
    return true
  })
})
