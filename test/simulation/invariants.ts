import { HEAD_START_MS } from '../../plugins/session-store/redis-failover.ts'
import { issuerTimeoutMs, refreshBeforeExpirationMs } from './gateway.ts'
import type { Attempt, Ending, RequestOutcome } from './history.ts'
import { resourceOf, sessionOf } from './model-issuer.ts'
import { longestGrantMs, type Run } from './world.ts'

/** A condition on every run. Returns descriptions of its violations. */
type Invariant = (run: Run) => string[]

/** The shortest back-off after a first failure: 1 s less a quarter. */
const leastBackOffMs = 750
/** The minimum time for which storing new tokens is retried. */
const leastInsistenceMs = 30_000

const invariants: Invariant[] = [
  oneTryAtATime,
  noRefreshTokenIsSpentTwice,
  triesBackOff,
  forcedRenewalsAreRare,
  liveSessionsHaveTheirNewestRefreshToken,
  deadSessionsStayDead,
  refreshTokensOfDeadSessionsAreRevoked,
  sessionsEndForAReason,
  tokensReachTheirOwnSession,
  requestsEndInTime,
  tokensCanBeSent,
  onlyDeadSessionsAreAnswered401,
  renewalsEnd,
  renewableSessionsAreRenewedLater,
]

/** The first violation of each broken invariant. */
export function violations(run: Run): string[] {
  return invariants.flatMap((invariant) =>
    invariant(run)
      .slice(0, 1)
      .map((what) => `${invariant.name}: ${what}`),
  )
}

/** Two grants of one session overlap only if the first one's lock has expired. */
function oneTryAtATime(run: Run): string[] {
  return pairs(run)
    .filter(([first, second]) => first.answeredAt === undefined || first.answeredAt > second.sentAt)
    .filter(([first, second]) => !lockLapsed(run, first, second))
    .map(([first, second]) => `${describeAttempt(second)} while ${describeAttempt(first)} was under way`)
}

/** A refresh token is spent once, unless its first holder died, outlived its lock or lost the answer. */
function noRefreshTokenIsSpentTwice(run: Run): string[] {
  return (
    pairs(run)
      .filter(
        ([first, second]) => first.refreshToken === second.refreshToken && second.arrivedAt !== undefined,
      )
      .filter(([first]) => first.verdict === 'granted' && first.answer !== 'failed')
      // An answer without a refresh token: the old one is not spent.
      .filter(([first]) => first.broughtRefreshToken !== first.refreshToken)
      .filter(([first, second]) => !lockLapsed(run, first, second))
      .filter(([first]) => !endIsLost(run, first.session))
      .map(([first, second]) => `${describeAttempt(second)}, which ${describeAttempt(first)} had spent`)
  )
}

/** After a failure no gateway tries again before the back-off, or the lock kept instead of it, has expired. */
function triesBackOff(run: Run): string[] {
  return pairs(run)
    .filter(([first, second]) => {
      if (first.answer !== 'failed' || first.answeredAt === undefined) return false
      const backOffMs = Math.max(leastBackOffMs, first.retryAfterMs ?? 0)
      return second.sentAt - first.answeredAt < backOffMs && !lockLapsed(run, first, second)
    })
    .map(
      ([first, second]) => `${describeAttempt(second)} too soon after ${describeAttempt(first)} had failed`,
    )
}

/** Grants that only an upstream's 401 can have caused: one per marker, which was added just before the grant. */
function forcedRenewalsAreRare(run: Run): string[] {
  const slackMs = 2.5 * issuerTimeoutMs
  return (
    pairs(run)
      .filter(([first, second]) => first.early && second.early && first.resource === second.resource)
      .filter(([first, second]) => second.sentAt - first.sentAt < refreshBeforeExpirationMs - slackMs)
      // A marker lost in a failover can be added again until it is restored.
      .filter(([first, second]) => !failoverBetween(run, first.sentAt, second.sentAt))
      .map(
        ([first, second]) => `${describeAttempt(second)} was forced so soon after ${describeAttempt(first)}`,
      )
  )
}

function liveSessionsHaveTheirNewestRefreshToken(run: Run): string[] {
  return run.atEnd.flatMap(({ stored, current }, session) => {
    if (stored === undefined || current === undefined || stored === current) return []
    const source = run.history.attempts.find((attempt) => attempt.broughtRefreshToken === current)
    if (source && (isLost(run, source) || notPutBack(run, source.gateway))) return []
    return [`session ${session} has ${stored}, but the issuer takes ${current}`]
  })
}

/** After a failover an ended session may live until the gateway that ended it has restored that. */
function deadSessionsStayDead(run: Run): string[] {
  const { endings, stored } = run.history
  return endings.flatMap((ending, place) => {
    const { at, session, gateway } = ending
    if (notPutBack(run, gateway)) return []
    const back = Math.max(
      at,
      ...failoversAround(run, ending).map(({ noticedAt }) => noticedAt + putBackWithinMs),
    )
    const revived = stored.some((each) => each.session === session && !each.onOldMaster && each.at > back)
    // A late command can still end it at the old master, where it was never revived.
    const endedTwice =
      !ending.onOldMaster &&
      endings
        .slice(0, place)
        .some((each) => each.session === session && failoversAround(run, each).length === 0)
    const livesAtEnd = at <= run.quietAt && run.atEnd[session]?.stored !== undefined
    return revived || endedTwice || livesAtEnd
      ? [`session ${session} was brought back after it had ended at ${at} ms`]
      : []
  })
}

/** The session's end was lost in a failover together with the only gateway that could put it back. */
function endIsLost(run: Run, session: number): boolean {
  return run.history.endings.some((each) => each.session === session && notPutBack(run, each.gateway))
}

/** Tokens granted to a session that has ended meanwhile are revoked by the gateway that requested them. */
function refreshTokensOfDeadSessionsAreRevoked(run: Run): string[] {
  return run.atEnd.flatMap(({ stored, current }, session) => {
    if (stored !== undefined || current === undefined) return []
    const ending = run.history.endings.find((each) => each.session === session)
    const excused =
      current === ending?.refreshToken ? logoutLeavesIt(run, session) : grantLeavesIt(run, current, ending)
    return excused ? [] : [`session ${session} has ended, but the issuer still takes ${current}`]
  })
}

/** A back-channel logout can't revoke, and a logout may fail to. */
function logoutLeavesIt(run: Run, session: number): boolean {
  return run.history.logouts
    .filter((each) => each.session === session)
    .some(({ revokes, gateway, at }) => !revokes || couldNotRevoke(run, gateway, at))
}

function grantLeavesIt(run: Run, current: string, ending: Ending | undefined): boolean {
  const source = run.history.attempts.find((attempt) => attempt.broughtRefreshToken === current)
  if (!source) return false
  return (
    isLost(run, source) ||
    notPutBack(run, source.gateway) ||
    couldNotRevoke(run, source.gateway, ending?.at ?? 0) ||
    endedWhileLost(run, source, ending)
  )
}

/**
 * Granted tokens were stored at an old master, and the session ended before they were restored. Only the browser's
 * cookie opens the restored record: the store can't revoke the token in it.
 */
function endedWhileLost({ history }: Run, { answeredAt }: Attempt, ending: Ending | undefined): boolean {
  if (!ending || answeredAt === undefined) return false
  return history.failovers.some(
    ({ lostFrom, noticedAt }) =>
      lostFrom <= answeredAt + storedWithinMs &&
      answeredAt <= noticedAt &&
      lostFrom <= ending.at &&
      ending.at <= noticedAt + putBackWithinMs,
  )
}

/** Only `invalid_grant` for its newest refresh token, a foreign identity or a logout ends a session. */
function sessionsEndForAReason({ history }: Run): string[] {
  return history.endings
    .filter(({ at, session, refreshToken }) => {
      const before = history.attempts.filter(
        (each) => each.session === session && (each.arrivedAt ?? at) <= at,
      )
      const refused = before.some((each) => each.verdict === 'refused' && each.refreshToken === refreshToken)
      const foreign = before.some((each) => each.foreign)
      const loggedOut = history.logouts.some((each) => each.session === session && each.at <= at)
      return !refused && !foreign && !loggedOut
    })
    .map(
      ({ at, session, refreshToken }) => `session ${session} ended at ${at} ms with a good ${refreshToken}`,
    )
}

function tokensReachTheirOwnSession({ history }: Run): string[] {
  return history.requests
    .filter(
      ({ accessToken, session, resource }) =>
        accessToken !== undefined &&
        (sessionOf(accessToken) !== session || resourceOf(accessToken) !== resource),
    )
    .map((request) => `${describeRequest(request)} got ${request.accessToken}`)
}

/** The store may take as long as the issuer, and a request checks the clock every 20 ms. */
const longestWaitMs = 2 * issuerTimeoutMs + 20

function requestsEndInTime(run: Run): string[] {
  return run.history.requests
    .filter(({ gateway, startedAt, endedAt, frozenMs }) =>
      endedAt === undefined ? !run.hasCrashed(gateway) : endedAt - startedAt - frozenMs > longestWaitMs,
    )
    .map((request) => `${describeRequest(request)} ended at ${request.endedAt} ms`)
}

function tokensCanBeSent({ history }: Run): string[] {
  return history.requests
    .filter(({ sendable }) => sendable === false)
    .map((request) => `${describeRequest(request)} got an old token that can't be sent any more`)
}

/** A 401 of the gateway clears the cookie. No other errors than documented ones occur. */
function onlyDeadSessionsAreAnswered401({ history }: Run): string[] {
  return history.requests
    .filter(({ alive, outcome }) => alive || outcome?.startsWith('unexpected'))
    .map((request) => `${describeRequest(request)} ended with ${request.outcome}`)
}

function renewalsEnd({ busy, quiet }: Run): string[] {
  if (!quiet) return ['the gateways never become idle']
  return busy.map((gateway) => `gateway ${gateway} is still renewing at the end`)
}

function renewableSessionsAreRenewedLater({ aftermath, atEnd }: Run): string[] {
  return aftermath
    .filter(({ session, outcome }) => {
      const { stored, current } = atEnd[session] ?? {}
      return stored !== undefined && stored === current && outcome !== 'token'
    })
    .map(
      (request) =>
        `${describeRequest(request)} ended with ${request.outcome} although nothing fails any more`,
    )
}

/** All pairs of grants of one session, in the order of their requests. */
function pairs({ history }: Run): [Attempt, Attempt][] {
  return history.attempts.flatMap((second, place) =>
    history.attempts
      .slice(0, place)
      .filter((first) => first.session === second.session)
      .map((first): [Attempt, Attempt] => [first, second]),
  )
}

/**
 * The exception: a lock lives somewhat longer than the longest grant. A gateway that still held it then had died,
 * was frozen, or could not reach the store. Then it can't restore its lock or its writes after a failover either.
 */
function lockLapsed(run: Run, first: Attempt, second: Attempt): boolean {
  return (
    notPutBack(run, first.gateway) ||
    (second.sentAt - first.sentAt >= longestGrantMs &&
      hadTrouble(run, first.gateway, first.sentAt - longestGrantMs, second.sentAt))
  )
}

/** The maximum duration of a write whose messages arrive. */
const storedWithinMs = 50
/** The maximum duration of restoring if messages arrive: 20 ms there and back, twice. */
const putBackWithinMs = 100

/** Whether the gateway died, was frozen or could not reach the store when it had something to restore. */
function notPutBack(run: Run, gateway: number): boolean {
  return run.history.failovers.some(({ lostFrom, noticedAt }) =>
    hadTrouble(run, gateway, lostFrom, noticedAt + HEAD_START_MS),
  )
}

function failoverBetween({ history }: Run, fromMs: number, untilMs: number): boolean {
  return history.failovers.some(({ lostFrom, noticedAt }) => lostFrom <= untilMs && noticedAt >= fromMs)
}

/** Failovers that may have lost the ending. */
function failoversAround({ history }: Run, { at, onOldMaster }: Ending) {
  return history.failovers.filter(
    ({ lostFrom, noticedAt }) => lostFrom <= at && (at <= noticedAt || onOldMaster),
  )
}

/**
 * Granted tokens never reached the gateway, or were lost in its crash, or could not be stored for as
 * long as it has to try.
 */
function isLost(run: Run, { answer, answeredAt = 0, gateway }: Attempt): boolean {
  const giveUpFrom = answeredAt + leastInsistenceMs
  return (
    answer !== 'granted' ||
    run.hasCrashed(gateway) ||
    hadTrouble(run, gateway, giveUpFrom, giveUpFrom + leastInsistenceMs)
  )
}

function couldNotRevoke(run: Run, gateway: number, sinceMs: number): boolean {
  return (
    run.hasCrashed(gateway) || hadTrouble(run, gateway, sinceMs - longestGrantMs, Number.POSITIVE_INFINITY)
  )
}

function hadTrouble({ history }: Run, gateway: number, fromMs: number, untilMs: number): boolean {
  return history.troubles.some(
    (trouble) =>
      (trouble.gateway === gateway || trouble.gateway === 'all') &&
      trouble.at <= untilMs &&
      (trouble.until >= fromMs || trouble.crash),
  )
}

function describeAttempt({ gateway, refreshToken, sentAt }: Attempt): string {
  return `the grant of gateway ${gateway} at ${sentAt} ms with ${refreshToken}`
}

function describeRequest({ gateway, session, asked, startedAt }: RequestOutcome): string {
  return `the request ${asked} on gateway ${gateway} for session ${session} at ${startedAt} ms`
}
