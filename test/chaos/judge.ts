import assert from 'node:assert/strict'
import { type Answer, createHttpBrowser } from '../../demo/http-browser.ts'
import { fingerprint } from '../../demo/issuer/events.ts'
import type { Gateway, LogLine } from '../support/gateway.ts'
import { giveUpMs, until } from '../support/until.ts'
import { expiredMs, issuerTimeoutMs, marginMs, type SignedIn, type TimedAnswer } from './world.ts'

interface ErrorBody {
  code: string
  tokenManagementUsed?: boolean
  details: string
}

export function bodyOf(answer: Answer): ErrorBody {
  return answer.json() as ErrorBody
}

export function longestWait(answers: TimedAnswer[]): number {
  return Math.max(...answers.map(({ tookMs }) => tookMs))
}

/** All were answered by the API, and for this user. */
export function assertServed(answers: TimedAnswer[], { user }: SignedIn): void {
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.body)
    assert.equal((answer.json() as { user: string }).user, user)
  }
}

/** The session stays, and the browser is told when to come again. */
export function assertNotNow(answer: TimedAnswer, code = 'BFF_ISSUER_UNAVAILABLE'): void {
  assert.equal(answer.status, 503, answer.body)
  assert.equal(bodyOf(answer).code, code)
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.deepEqual(answer.headers.getSetCookie(), [], 'Nobody may be signed out')
  assert.equal(bodyOf(answer).tokenManagementUsed ?? false, code === 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(answer.tookMs <= issuerTimeoutMs + marginMs, `Waited for ${answer.tookMs} ms`)
}

/** The issuer has refused, and this answer is the one that says so. */
export function assertEnded(answer: TimedAnswer, details = 'Token error: invalid_grant'): void {
  assert.equal(answer.status, 401, answer.body)
  const { code, tokenManagementUsed, details: said } = bodyOf(answer)
  assert.deepEqual(
    { code, tokenManagementUsed, said },
    {
      code: 'BFF_SESSION_ENDED',
      tokenManagementUsed: true,
      said: details,
    },
  )
  assertTouchesNoCookie(answer)
}

/** There is no session for the cookie that still came. */
export function assertNoSession(answer: TimedAnswer): void {
  assert.equal(answer.status, 401, answer.body)
  assert.equal(bodyOf(answer).code, 'BFF_SESSION_REQUIRED')
  assertTouchesNoCookie(answer)
}

/** An API's answer leaves cookies alone: one that came late would touch the next session's. */
function assertTouchesNoCookie(answer: Answer): void {
  assert.deepEqual(answer.headers.getSetCookie(), [])
}

/** Every refresh token was sent once, and taken. */
export function assertGrants({ lineage }: Pick<SignedIn, 'lineage'>, count: number): void {
  const grants = lineage.grants()
  assert.deepEqual(
    grants.map(({ outcome }) => outcome),
    Array.from({ length: count }, () => 'success'),
  )
  assert.equal(new Set(grants.map(({ refreshTokenHash }) => refreshTokenHash)).size, count)
}

/** The store has the newest refresh token, and it works: at once, or within a time when things have to settle first. */
export async function assertLivesOn(session: SignedIn, gateways: Gateway[], withinMs = 0): Promise<void> {
  const { lineage, stored } = session
  const record = await stored.read()
  assert.ok(record, 'The session has ended')
  assert.equal(fingerprint(record.tokenSet.refreshToken ?? ''), fingerprint(lineage.newest()))
  lineage.fault = undefined
  const before = lineage.tokens.length
  await stored.leaveTokens(expiredMs)
  for (const gateway of withinMs > 0 ? gateways : []) {
    await until(async () => (await session.call(gateway)).status === 200, withinMs)
  }
  assertServed(await session.storm(gateways, 1), session)
  assert.equal(lineage.tokens.length, before + 1)
}

/** A log line of this session. */
export function said({ stored }: SignedIn, event: string): (line: LogLine) => boolean {
  const sessionHash = Buffer.from(stored.id, 'base64url').subarray(0, 16).toString('base64url')
  return (line) => line.event === event && line['sessionHash'] === sessionHash
}

/** A cookie that was cleared comes once more, from another tab say. */
export async function sendAgain(cookie: string, { url }: Gateway): Promise<TimedAnswer> {
  const browser = createHttpBrowser({ timeoutMs: giveUpMs })
  const answer = await browser.fetch(`${url}/api/gettime`, {
    headers: { 'x-csrf': '1', cookie: `bff=${cookie}` },
  })
  return { ...answer, tookMs: 0 }
}
