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

/** Asserts that all were answered by the API, for this user. */
export function assertServed(answers: TimedAnswer[], { user }: SignedIn): void {
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.body)
    assert.equal((answer.json() as { user: string }).user, user)
  }
}

/** Asserts 503 with Retry-After; the session stays. */
export function assertUnavailableNow(answer: TimedAnswer, code = 'BFF_ISSUER_UNAVAILABLE'): void {
  assert.equal(answer.status, 503, answer.body)
  assert.equal(bodyOf(answer).code, code)
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.deepEqual(answer.headers.getSetCookie(), [], 'No cookie may be cleared')
  assert.equal(bodyOf(answer).tokenManagementUsed ?? false, code === 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(answer.tookMs <= issuerTimeoutMs + marginMs, `Waited for ${answer.tookMs} ms`)
}

/** Asserts the 401 for a session that the issuer has refused to renew. */
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

/** Asserts the 401 for a cookie without a session. */
export function assertNoSession(answer: TimedAnswer): void {
  assert.equal(answer.status, 401, answer.body)
  assert.equal(bodyOf(answer).code, 'BFF_SESSION_REQUIRED')
  assertTouchesNoCookie(answer)
}

/** Asserts that an API's answer changes no cookie: a late one would affect the next session's. */
function assertTouchesNoCookie(answer: Answer): void {
  assert.deepEqual(answer.headers.getSetCookie(), [])
}

/** Asserts that every refresh token was sent once, and accepted. */
export function assertGrants({ lineage }: Pick<SignedIn, 'lineage'>, count: number): void {
  const grants = lineage.grants()
  assert.deepEqual(
    grants.map(({ outcome }) => outcome),
    Array.from({ length: count }, () => 'success'),
  )
  assert.equal(new Set(grants.map(({ refreshTokenHash }) => refreshTokenHash)).size, count)
}

/** Asserts that the store has the newest refresh token, and that it works, at once or within `withinMs`. */
export async function assertSurvives(session: SignedIn, gateways: Gateway[], withinMs = 0): Promise<void> {
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

/** Matches a log line of this session. */
export function said({ stored }: SignedIn, event: string): (line: LogLine) => boolean {
  const sessionHash = Buffer.from(stored.id, 'base64url').subarray(0, 16).toString('base64url')
  return (line) => line.event === event && line['sessionHash'] === sessionHash
}

/** Sends a cleared cookie again, as from another tab. */
export async function sendAgain(cookie: string, { url }: Gateway): Promise<TimedAnswer> {
  const browser = createHttpBrowser({ timeoutMs: giveUpMs })
  const answer = await browser.fetch(`${url}/api/gettime`, {
    headers: { 'x-csrf': '1', cookie: `bff=${cookie}` },
  })
  return { ...answer, tookMs: 0 }
}
