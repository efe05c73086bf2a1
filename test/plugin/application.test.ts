import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import files from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import { startIssuer } from '../../demo/issuer.ts'
import bff, { ConfigurationError } from '../../index.ts'
import { assertError } from '../support/assert-error.ts'
import { browserOf, minimalOptions, startApplication } from './support.ts'

test("a user signs in, and the application's own routes get the session", async (t) => {
  const { newBrowser } = await startApplication(t, {
    routes: (app) =>
      app.get('/me', { onRequest: app.bff.requireSession }, async ({ session }) => ({
        subject: session?.subject,
        name: session?.claims['name'],
      })),
  })
  const browser = newBrowser()
  await browser.signIn('bob')

  assert.deepEqual((await browser.open('/me')).json(), { subject: 'bob', name: 'Bob Example' })
})

test("without a session the application's error handler gets the error, with its status", async (t) => {
  const { newBrowser } = await startApplication(t, {
    routes: (app) => app.get('/me', { onRequest: app.bff.requireSession }, async () => 'never'),
  })

  const answer = await newBrowser().open('/me')
  assert.equal(answer.statusCode, 401)
  assert.deepEqual(answer.json(), {
    statusCode: 401,
    code: 'BFF_SESSION_REQUIRED',
    error: 'Unauthorized',
    message: 'Not signed in',
  })
})

test('a route without requireSession gets the session if there is one', async (t) => {
  const { newBrowser } = await startApplication(t, {
    routes: (app) =>
      app.get('/', { onRequest: app.bff.loadSession }, async ({ session }) => ({
        subject: session?.subject ?? 'anonymous',
      })),
  })
  const browser = newBrowser()

  assert.deepEqual((await browser.open('/')).json(), { subject: 'anonymous' })
  await browser.signIn()
  assert.deepEqual((await browser.open('/')).json(), { subject: 'alice' })
})

test('answers of routes to a user are not cached, unless the route sets Cache-Control', async (t) => {
  const { newBrowser } = await startApplication(t, {
    routes(app) {
      app.get('/me', { onRequest: app.bff.loadSession }, async () => 'ok')
      app.get('/kept', { onRequest: app.bff.requireSession }, async (_request, reply) => {
        reply.header('cache-control', 'private, max-age=60')
        return 'ok'
      })
      app.get('/public', async () => 'ok')
    },
  })
  const browser = newBrowser()
  const kept = async (url: string) => (await browser.open(url)).headers['cache-control']
  assert.equal(await kept('/me'), undefined)
  await browser.signIn()
  assert.deepEqual(await Promise.all(['/me', '/kept', '/public'].map(kept)), [
    'no-store',
    'private, max-age=60',
    undefined,
  ])
})

test('a session that a route sends to the browser by mistake has no token and no key', async (t) => {
  const { app, newBrowser } = await startApplication(t, {
    routes: (app) => app.get('/leak', { onRequest: app.bff.requireSession }, async ({ session }) => session),
  })
  const browser = newBrowser()
  await browser.signIn()

  const answer = (await browser.open('/leak')).json()
  const members = ['issuer', 'subject', 'sid', 'claims', 'createdAt', 'expiresAt']
  assert.deepEqual(Object.keys(answer).toSorted(), members.toSorted())
  assert.equal(app.hasDecorator('bff'), true)
})

test('a route behind the guard refuses requests that another site could forge', async (t) => {
  const { newBrowser } = await startApplication(t, {
    routes: (app) => app.post('/order', { onRequest: app.bff.guard }, async () => ({ ordered: true })),
  })
  const browser = newBrowser()
  const order = (headers: Record<string, string>) => browser.call('/order', { method: 'POST', headers })

  assert.deepEqual((await order({})).json(), { ordered: true })
  const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  for (const headers of [{ 'x-csrf': '0' }, foreign]) {
    const answer = await order(headers)
    assert.equal(answer.statusCode, 403)
    assert.equal(answer.json().code, 'BFF_CSRF_REJECTED')
  }
})

test("a scope can use the gateway's error handler", async (t) => {
  const { newBrowser } = await startApplication(t, {
    server: { genReqId: () => crypto.randomUUID() },
    routes: (app) =>
      app.register(async (scope) => {
        scope.setErrorHandler(scope.bff.errorHandler)
        scope.get('/me', { onRequest: scope.bff.requireSession }, async () => 'never')
      }),
  })

  const answer = await newBrowser().open('/me')
  assertError(answer, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
})

test("the plugin's hooks, error handlers and parsers do not affect the application's, nor the reverse", async (t) => {
  const seen: string[] = []
  const { newBrowser } = await startApplication(t, {
    server: { genReqId: () => crypto.randomUUID() },
    before(app) {
      app.setErrorHandler((_error, _request, reply) => reply.code(418).send({ by: 'the application' }))
      app.setNotFoundHandler((_request, reply) => reply.code(404).send({ by: 'the application' }))
      app.addContentTypeParser(
        'application/x-own',
        { parseAs: 'string' },
        async (_: unknown, body: string) => [body],
      )
      app.addHook('onRequest', async ({ url }) => void seen.push(url))
    },
    routes(app) {
      app.get('/fails', async () => {
        throw new Error('own')
      })
      app.post('/own', async ({ body }) => body)
    },
  })
  const browser = newBrowser()

  assert.deepEqual((await browser.open('/fails')).json(), { by: 'the application' })
  assert.deepEqual((await browser.open('/nowhere')).json(), { by: 'the application' })
  const own = { method: 'POST', payload: 'text', headers: { 'content-type': 'application/x-own' } } as const
  assert.deepEqual((await browser.call('/own', own)).json(), ['text'])
  assertError(await browser.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  assertError(await browser.call('/bff/nowhere'), 404, 'BFF_NOT_FOUND')
  assert.deepEqual(seen, ['/fails', '/nowhere', '/own', '/bff/user', '/bff/nowhere'])
})

test('the plugin adds no probes, metrics or pages', async (t) => {
  const { app, newBrowser } = await startApplication(t)

  for (const path of ['/', '/healthz', '/readyz', '/metrics']) {
    const answer = await newBrowser().open(path)
    assert.equal(answer.statusCode, 404, path)
    assert.equal(answer.json().error, 'Not Found', path)
  }
  for (const name of ['sessionStore', 'sessions', 'issuer', 'renewer', 'metrics', 'draining'])
    assert.equal(app.hasDecorator(name), false, name)
})

test('the plugin works beside common Fastify plugins', async (t) => {
  const folder = frontendFolder(t)
  const { newBrowser } = await startApplication(t, {
    bff: { staticDir: folder, corsOrigins: ['https://other.example.com'] },
    async before(app) {
      await app.register(cookie)
      await app.register(cors)
      await app.register(helmet)
      await app.register(rateLimit)
      await app.register(files, { root: folder, prefix: '/files/' })
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.match((await browser.open('/deep/link')).body, /the frontend/)
  assert.match((await browser.open('/files/index.html')).body, /the frontend/)
})

test("an application can use the names of the plugin's internal decorators", async (t) => {
  const { app, newBrowser } = await startApplication(t, {
    routes: (app) =>
      app
        .decorate('metrics', 'own' as never)
        .decorate('sessions', 'own' as never)
        .get('/own', async () => app.metrics),
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.equal((await browser.open('/own')).body, 'own')
  assert.equal(app.sessions, 'own')
})

test('a configured frontend is served where the application has no route', async (t) => {
  const { newBrowser } = await startApplication(t, {
    bff: { staticDir: frontendFolder(t) },
    routes: (app) => app.get('/own', async () => 'own'),
  })
  const browser = newBrowser()

  assert.match((await browser.open('/deep/link')).body, /the frontend/)
  assert.equal((await browser.open('/own')).body, 'own')
})

test('two applications in one process are independent', async (t) => {
  const routes = (app: FastifyInstance) =>
    app.get('/me', { onRequest: app.bff.requireSession }, async ({ session }) => session)
  const one = await startApplication(t, { routes })
  const two = await startApplication(t, { routes })
  const browser = one.newBrowser()
  await browser.signIn()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''

  assert.equal((await one.app.inject({ url: '/me', headers: { cookie } })).statusCode, 200)
  assert.equal((await two.app.inject({ url: '/me', headers: { cookie } })).statusCode, 401)
})

test('registered in several scopes with a prefix, the plugin serves several frontends', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const app = Fastify()
  t.after(() => app.close())
  for (const name of ['shop', 'desk']) {
    const publicUrl = `http://localhost:3000/${name}`
    const options = minimalOptions(issuer, { publicUrl, cookie: { name } })
    app.register(
      async (scope) => {
        await scope.register(bff, options)
        scope.get('/me', { onRequest: scope.bff.requireSession }, async () => name)
      },
      { prefix: `/${name}` },
    )
  }
  await app.ready()
  const browser = browserOf(app, 'http://localhost:3000/shop')
  await browser.signIn()

  assert.equal((await browser.open('/shop/me')).body, 'shop')
  assert.equal((await browser.open('/desk/me')).statusCode, 401)
  assert.equal((await browser.call('/shop/bff/user')).statusCode, 200)
})

test("the application's log has neither codes nor tokens", async (t) => {
  const { log, newBrowser } = await startApplication(t, {
    routes: (app) => app.get('/me', async (request) => ({ length: (await request.accessToken()).length })),
  })
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  await browser.open(callback, { 'sec-fetch-site': 'cross-site' })
  assert.ok((await browser.open('/me')).json().length > 0)

  const code = new URL(callback, 'http://localhost').searchParams.get('code') ?? ''
  assert.ok(code !== '' && log().includes('/bff/callback'))
  assert.ok(!log().includes(code))
  assert.doesNotMatch(log(), /"(access|refresh|id)_?token"/i)
})

test("the application's readiness check can ask what is missing", async (t) => {
  const { app, newBrowser } = await startApplication(t)

  assert.deepEqual(await app.bff.missing(), ['issuer metadata'])
  await newBrowser().signIn()
  assert.deepEqual(await app.bff.missing(), [])
})

test('all wrong or missing options are reported at once, before anything starts', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  const wrong = { oidc: { issuer: 'login', clientId: 'x', timeout: '5' }, port: 3000 }

  await assert.rejects(
    async () => app.register(bff, wrong as never),
    (error: Error) => {
      assert.ok(error instanceof ConfigurationError)
      for (const text of ['oidc.issuer', 'oidc.timeout', 'port', 'publicUrl', 'session.keys'])
        assert.match(error.message, new RegExp(text.replace('.', '\\.')))
      return true
    },
  )
})

function frontendFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.html'), '<title>the frontend</title>')
  return folder
}
