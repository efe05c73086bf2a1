import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Demo } from './demo.ts'
import { findTokens } from './http-browser/find-tokens.ts'
import { type Answer, createHttpBrowser, type HttpBrowser } from './http-browser.ts'

export interface CheckOptions {
  /** Called with a line for each step. */
  print: (line: string) => void
  /** How long all of it may take, in milliseconds. Default two minutes. */
  deadlineMs?: number
  /** Milliseconds between calls to the API. Default one second. */
  callEveryMs?: number
  /** Renewals to wait for. Default 2. */
  renewals?: number
}

interface Round {
  demo: Demo
  browser: HttpBrowser
  callEveryMs: number
  renewals: number
  deadline: AbortSignal
}

/** @returns a remark for the line that reports the step */
type Step = (round: Round) => Promise<string>

const steps: [name: string, step: Step][] = [
  ['the gateway serves the sample page', servesPage],
  ['without a session the API is refused', isClosed],
  ['alice signs in', signsIn],
  ['the API answers while the token is renewed', keepsCalling],
  ['each refresh token was spent once', spendsOnce],
  ['no token reached the browser', keepsTokens],
  ['alice signs out', signsOut],
  ['the session is gone', isGone],
]

/** Performs the demo's steps over HTTP. @returns whether every step succeeded */
export async function check(demo: Demo, options: CheckOptions): Promise<boolean> {
  const { print, deadlineMs = 120_000, callEveryMs = 1000, renewals = 2 } = options
  const deadline = AbortSignal.timeout(deadlineMs)
  const round: Round = { demo, browser: createHttpBrowser(), callEveryMs, renewals, deadline }
  const tooLate = new Promise<never>((_, reject) => {
    deadline.addEventListener('abort', () => reject(new Error(`Not done after ${deadlineMs / 1000} s`)))
  })

  for (const [name, step] of steps) {
    const start = performance.now()
    const line = (outcome: string, remark: string) => {
      const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5)
      print(`${outcome.padEnd(4)} ${seconds} s  ${name}${remark && ` (${remark})`}`)
    }
    try {
      line('ok', await Promise.race([step(round), tooLate]))
    } catch (error) {
      line('FAIL', error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error))
      return false
    }
  }
  return true
}

async function servesPage({ demo, browser }: Round): Promise<string> {
  const page = await browser.open(demo.url)
  expectStatus(page, 200)
  assert.match(page.body, /id="login"/, 'The page has no login')
  return demo.url
}

async function isClosed(round: Round): Promise<string> {
  const answer = await call(round, '/api/gettime')
  expectStatus(answer, 401)
  return `401 ${(answer.json() as { code: string }).code}`
}

async function signsIn(round: Round): Promise<string> {
  const page = await round.browser.signIn(round.demo.url, 'alice')
  expectStatus(page, 200)
  assert.equal(new URL(page.url).origin, round.demo.url, 'The sign-in did not return to the gateway')
  const session = await fetchSession(round)
  assert.equal(session.isAuthenticated, true, 'There is no session')
  return `as ${session.identity.name}`
}

async function keepsCalling(round: Round): Promise<string> {
  let calls = 0
  let { renewals } = (await fetchSession(round)).accessToken
  while (renewals < round.renewals) {
    round.deadline.throwIfAborted()
    expectStatus(await call(round, '/api/gettime'), 200)
    calls += 1
    renewals = (await fetchSession(round)).accessToken.renewals
    await wait(round.callEveryMs)
  }
  expectStatus(await call(round, '/local/greeting'), 200)
  return `${calls} calls, all 200, ${renewals} renewals`
}

async function spendsOnce({ demo }: Round): Promise<string> {
  const grants = demo.issuer.events.refreshGrants()
  const spent = new Set(grants.map(({ refreshTokenHash }) => refreshTokenHash))
  assert.equal(spent.size, grants.length, 'A refresh token was sent twice')
  assert.ok(
    grants.every(({ outcome }) => outcome === 'success'),
    'The issuer refused a refresh token',
  )
  return `${grants.length} grants`
}

async function keepsTokens({ demo, browser }: Round): Promise<string> {
  const issued = demo.issuer.events.all.map((event) =>
    event.type === 'grant' ? event.issuedRefreshTokenHash : undefined,
  )
  const used = demo.timeApi.requests.map(({ accessTokenHash }) => accessTokenHash)
  const known = new Set([...issued, ...used].filter((hash) => hash !== undefined))
  const leaks = browser.answers.flatMap((answer) => findTokens(answer, known))
  assert.deepEqual(leaks, [], `Found ${leaks.join(', ')}`)
  const cookie = browser.cookies.all().find(({ httpOnly, name }) => !httpOnly && name.includes('bff'))
  assert.equal(cookie, undefined, 'Scripts can read the session cookie')
  return `${browser.answers.length} answers searched`
}

async function signsOut(round: Round): Promise<string> {
  const { demo, browser } = round
  const stolenCookie = browser.cookies.headerFor(new URL(demo.url)) ?? ''
  const page = await browser.signOut(demo.url)
  expectStatus(page, 200)
  assert.equal(new URL(page.url).origin, demo.url, 'The sign-out did not return to the gateway')
  expectStatus(await call(round, '/api/gettime', { cookie: stolenCookie }), 401)
  return 'for a copy of the cookie too'
}

async function isGone(round: Round): Promise<string> {
  assert.equal((await fetchSession(round)).isAuthenticated, false, 'There is still a session')
  expectStatus(await call(round, '/api/gettime'), 401)
  const page = await round.browser.open(`${round.demo.url}/bff/login`)
  assert.match(page.body, /type="password"/, 'alice is still signed in at the issuer')
  return 'at the gateway and at the issuer'
}

interface SessionView {
  isAuthenticated: boolean
  identity: { name: string }
  accessToken: { renewals: number }
}

async function fetchSession(round: Round): Promise<SessionView> {
  const answer = await call(round, '/bff/session')
  expectStatus(answer, 200)
  return answer.json() as SessionView
}

function call({ demo, browser, deadline }: Round, path: string, headers: Record<string, string> = {}) {
  return browser.fetch(`${demo.url}${path}`, { headers: { 'x-csrf': '1', ...headers }, signal: deadline })
}

function expectStatus({ method, url, status }: Answer, expected: number): void {
  assert.equal(status, expected, `${method} ${new URL(url).pathname} answered ${status}, not ${expected}`)
}
