import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import { cacheDecryptedCookies } from '../../../plugins/session/cookie/decrypted-cookies.ts'
import { secureSession } from '../../../plugins/session/cookie/secure-session.ts'

const expiry = 60
const [current, former] = [randomBytes(32), randomBytes(32)]

/** @param keys the first encrypts */
async function start(t: TestContext, keys: Buffer[]) {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  const options = { expiry, cookie: { path: '/' } }
  await app.register(secureSession, [
    { ...options, sessionName: 'sealedSession', cookieName: 'bff', key: keys },
    { ...options, sessionName: 'sealedTransaction', cookieName: 'bff-tx', key: keys },
  ])
  const decodes = t.mock.method(app, 'decodeSecureSession')
  cacheDecryptedCookies(app, 'sealedSession', expiry)
  const seal = (data: object) => app.encodeSecureSession(app.createSecureSession(data), 'sealedSession')
  const open = (value: string, name = 'sealedSession') => app.decodeSecureSession(value, app.log, name)
  return { seal, open, decrypted: () => decodes.mock.callCount() }
}

test('a cookie is decrypted once, and what a response changes of it changes no other request', async (t) => {
  const { seal, open, decrypted } = await start(t, [current])
  const value = seal({ id: '1' })
  const [first, second] = [open(value), open(value)]
  assert.equal(decrypted(), 1)
  first?.set('id', 'changed')
  second?.delete()
  const third = open(value)
  assert.deepEqual([third?.data(), third?.changed], [{ id: '1' }, false])
})

test('a remembered cookie still expires', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 })
  const { seal, open } = await start(t, [current])
  const value = seal({ id: '1' })
  assert.ok(open(value))
  t.mock.timers.tick(expiry * 1000 - 1)
  assert.ok(open(value))
  t.mock.timers.tick(1)
  assert.equal(open(value), null)
})

test('a cookie of a former key is outdated every time', async (t) => {
  const value = (await start(t, [former])).seal({ id: '1' })
  const { open } = await start(t, [current, former])
  assert.deepEqual([open(value)?.changed, open(value)?.changed], [true, true])
})

test('what can not be decrypted, or is another cookie, is not remembered', async (t) => {
  const { seal, open, decrypted } = await start(t, [current])
  for (let i = 0; i < 2; i++) assert.equal(open(`${seal({ id: '1' }).slice(0, -4)}AAAA`), null)
  const value = seal({ id: '1' })
  for (let i = 0; i < 2; i++) assert.ok(open(value, 'sealedTransaction'))
  assert.equal(decrypted(), 4)
})
