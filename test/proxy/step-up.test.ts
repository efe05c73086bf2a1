import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { type Answer, signIn, startGateway, startUpstream } from './support.ts'

async function start(t: TestContext, answer: Answer) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url, token: 'user' },
      { prefix: '/public', target: upstream.url },
    ],
    { issuer },
  )
  return { upstream, gateway }
}

const challenge =
  'DPoP algs="ES256", Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="60"'

const wantsMore: Answer = ({ request, response }) => {
  request.resume()
  const forged = { 'bff-login-url': 'https://evil.example/' }
  response.writeHead(401, { 'www-authenticate': challenge, ...forged }).end('log in again')
}

test('a 401 that asks for a stronger login passes unchanged, names the login URL, and causes no renewal', async (t) => {
  const { upstream, gateway } = await start(t, wantsMore)
  const cookie = await signIn(gateway)
  const { status, headers, text } = await gateway.call('/api/x', { headers: { cookie } })
  assert.deepEqual([status, text], [401, 'log in again'])
  assert.equal(headers['www-authenticate'], challenge)
  assert.equal(headers['bff-login-url'], '/bff/login?acr_values=gold%20silver&max_age=60')
  assert.equal(upstream.arrivals.length, 1)
  assert.equal(
    gateway.logs.some(({ event }) => event === 'token.renewal.due'),
    false,
  )
})

test('the login URL of a step-up is accepted by the gateway, and its parameters reach the issuer', async (t) => {
  const { gateway } = await start(t, wantsMore)
  const { headers } = await gateway.call('/api/x', { headers: { cookie: await signIn(gateway) } })
  const login = await gateway.call(String(headers['bff-login-url']))
  assert.equal(login.status, 302)
  const { searchParams } = new URL(login.headers.location ?? '')
  assert.deepEqual([searchParams.get('acr_values'), searchParams.get('max_age')], ['gold silver', '60'])
})

test("an upstream without users can't ask for a login, nor name a login URL", async (t) => {
  const { gateway } = await start(t, wantsMore)
  const { status, headers } = await gateway.call('/public/x')
  assert.deepEqual([status, headers['bff-login-url']], [401, undefined])
})
