import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'

test('every end of a session is reported once to log and hook, with user and session, or the sub and sid of the logout token', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const reasons: string[] = []
  const onLogout = (_session: unknown, reason: string) => void reasons.push(reason)
  const { app, newBrowser, log } = await startInjectGateway(t, { issuer, extras: { hooks: { onLogout } } })
  const signedIn = async () => {
    const browser = newBrowser()
    await browser.signIn()
    const { sid } = (await browser.call('/bff/session')).json()
    return { browser, sid }
  }
  const frontchannel = (sid: string) =>
    `/bff/frontchannel-logout?${new URLSearchParams({ iss: issuer.issuer, sid })}`
  const backchannel = async (claims: object) => {
    const token = await issuer.sign(logoutClaims(issuer, { ...claims }), { typ: 'logout+jwt' })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const payload = String(new URLSearchParams({ logout_token: token }))
    const answer = await app.inject({ method: 'POST', url: '/bff/backchannel-logout', headers, payload })
    assert.equal(answer.statusCode, 200, answer.body)
  }
  const sessions = [await signedIn(), await signedIn(), await signedIn(), await signedIn(), await signedIn()]
  const [logout, own, other, bySid] = sessions as [
    (typeof sessions)[0],
    (typeof sessions)[0],
    (typeof sessions)[0],
    (typeof sessions)[0],
  ]

  await logout.browser.open(`/bff/logout?sid=${logout.sid}`)
  await own.browser.open(frontchannel(own.sid))
  await app.inject(frontchannel(other.sid))
  await backchannel({ sub: 'alice', sid: bySid.sid })
  await backchannel({ sub: 'alice' })

  const lines = log().trim().split('\n')
  const ends = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'session.ended')
  const session = /^[\w-]{22}$/
  assert.deepEqual(
    ends.map(({ level, reason, user, sessionHash, sid, sub }) => [
      level,
      reason,
      typeof user,
      session.test(sessionHash),
      sid,
      sub,
    ]),
    [
      [30, 'logout', 'string', true, undefined, undefined],
      [30, 'frontchannel_logout', 'string', true, hashForLog(own.sid), undefined],
      [30, 'frontchannel_logout', 'undefined', true, hashForLog(other.sid), undefined],
      [30, 'backchannel_logout', 'undefined', true, hashForLog(bySid.sid), undefined],
      [30, 'backchannel_logout', 'undefined', true, undefined, hashForLog('alice')],
    ],
  )
  assert.deepEqual(
    reasons,
    ends.map(({ reason }) => reason),
  )
})
