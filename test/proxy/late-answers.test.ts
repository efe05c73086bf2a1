import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { type Answer, startUpstream } from './support.ts'

const home = new URL('http://localhost:3000/')

/** Two gateways with one store, the second with rotated keys, in front of an API whose answers the test releases. */
async function start(t: TestContext) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const answers: (() => void)[] = []
  const held: Answer = ({ url, response }) => {
    response.statusCode = url.startsWith('/refused') ? 401 : 200
    answers.push(() => void response.end(url))
  }
  const upstream = await startUpstream(t, held)
  const [oldKey, freshKey] = [newKey(), newKey()]
  const gateway = (keys: string) =>
    startInjectGateway(t, {
      issuer,
      env: { SESSION_KEYS: keys, API_URL: upstream.url },
      extras: {
        async localRoutes(app) {
          app.get('/local', { onRequest: app.bff.requireSession }, async (request, reply) => {
            answers.push(() => void reply.send(request.session?.subject))
            return reply
          })
        },
      },
    })
  const before = await gateway(oldKey)
  const after = await gateway(`${freshKey},${oldKey}`)
  const { sessionStore: store } = before.app
  for (const method of [
    'read',
    'touch',
    'destroy',
    'create',
    'replace',
    'lock',
    'addMarker',
    'markerTtlMs',
  ] as const)
    t.mock.method(after.app.sessionStore, method, store[method] as never)
  return { before, after, issuer, upstream, answers }
}

/** Another browser with copies of the cookies. */
function sameBrowser(browser: InjectBrowser, other: InjectBrowser): InjectBrowser {
  const value = other.cookies.get('bff')?.value ?? assert.fail('no session')
  browser.cookies.store(home, [`bff=${value}; Path=/`])
  return browser
}

async function nameOf(browser: InjectBrowser): Promise<string | undefined> {
  return (await browser.call('/bff/session')).json().identity?.name
}

for (const path of ['/api/slow', '/api/refused', '/local']) {
  test(`a late answer (${path}) of an old session does not touch the new session's cookie`, async (t) => {
    const { before, after, answers } = await start(t)
    const alice = before.newBrowser()
    await alice.signIn('alice')
    // Its cookie is due to be sealed with the new key here.
    const browser = sameBrowser(after.newBrowser(), alice)
    const late = browser.call(path)
    while (answers.length === 0) await new Promise(setImmediate)

    await browser.signIn('bob')
    answers[0]?.()

    const answer = await late
    assert.deepEqual(setCookies(answer), [])
    assert.equal(await nameOf(browser), 'Bob Example')
  })
}

for (const path of ['/bff/user', '/bff/session']) {
  test(`a late answer of ${path} does not touch it either, although it may clear or re-seal cookies`, async (t) => {
    for (const dead of [false, true]) {
      const { before, after } = await start(t)
      const alice = before.newBrowser()
      await alice.signIn('alice')
      const browser = sameBrowser(after.newBrowser(), alice)
      const slide = '?slide=false'
      assert.equal(setCookies(await sameBrowser(after.newBrowser(), alice).call(path + slide)).length, 1)
      const { read } = after.app.sessionStore
      const slow = Promise.withResolvers<void>()
      const asked = Promise.withResolvers<void>()
      const reading = t.mock.method(after.app.sessionStore, 'read', async (id: string) => {
        const record = dead ? undefined : await read(id)
        asked.resolve()
        await slow.promise
        return record
      })
      const late = browser.call(path + slide)
      await asked.promise
      reading.mock.restore()

      await browser.signIn('bob')
      slow.resolve()

      assert.deepEqual(setCookies(await late), [])
      assert.equal(await nameOf(browser), 'Bob Example')
    }
  })
}

test('upstreams and application routes do not change a dead or outdated cookie', async (t) => {
  const { before, after, answers } = await start(t)
  const alice = before.newBrowser()
  await alice.signIn('alice')
  const browser = sameBrowser(after.newBrowser(), alice)
  for (const path of ['/api/x', '/local']) {
    const call = browser.call(path)
    while (answers.length === 0) await new Promise(setImmediate)
    answers.shift()?.()
    assert.deepEqual(setCookies(await call), [])
  }
  await alice.open('/bff/logout')
  for (const path of ['/api/x', '/local']) {
    const ended = await browser.call(path)
    assert.deepEqual([ended.statusCode, setCookies(ended)], [401, []])
  }
})

test('a logout delayed by the issuer does not clear the cookie of a faster login', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn('alice')
  const callback = await browser.authorize(await browser.beginLogin())
  const [asked, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  issuer.rewrite('/token/revocation', async () => {
    asked.resolve()
    await slow.promise
  })
  const logout = browser.open('/bff/logout')
  await asked.promise
  issuer.rewrite('/token/revocation')

  assert.equal((await browser.open(callback)).statusCode, 302)
  slow.resolve()

  const session = setCookies(await logout).filter((cookie) => cookie.startsWith('bff='))
  assert.deepEqual(session, [])
  assert.equal(await nameOf(browser), 'Alice Example')
})

test('after ten tabs call and log in in parallel, the browser has the cookie of a live session', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const { newBrowser, app } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn('alice')
  const created = t.mock.method(app.sessions, 'create')
  const tab = async (number: number) => {
    await browser.call(number % 2 === 0 ? '/bff/user' : '/bff/session')
    // The maximum number of open logins.
    if (number < 5) await browser.open(await browser.authorize(await browser.beginLogin()))
    await browser.call('/bff/user')
  }

  await Promise.all(Array.from({ length: 10 }, (_, number) => tab(number)))

  assert.equal(created.mock.callCount(), 5)
  assert.equal(await nameOf(browser), 'Alice Example')
})
