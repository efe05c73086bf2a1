import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { type TokenTarget, tokenTarget } from '../../plugins/issuer/token-set.ts'
import { decideRenewal } from '../../plugins/renewal/policy.ts'
import type { Session } from '../../plugins/session/session.ts'
import { type HeldToken, heldToken } from '../../plugins/session/session-record.ts'
import type { SessionReference } from '../../plugins/session/session-reference.ts'
import { createSessions, type Sessions } from '../../plugins/session/sessions.ts'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import type { UserGrantOptions } from '../../plugins/tokens/user-grant.ts'
import { createUserTokens } from '../../plugins/tokens/user-tokens.ts'
import type { History, RequestOutcome } from './history.ts'
import type { GatewayProcess } from './process.ts'
import { clientId } from './scheduled-issuer.ts'

export const issuerTimeoutMs = 5_000
export const refreshBeforeExpirationMs = 15_000
const hourMs = 3_600_000
export const lifetimes = { clientId, idleTimeoutMs: hourMs, lifetimeMs: 10 * hourMs }

/** One gateway: sessions and renewer as in production, on its own connections to store and issuer. */
export interface Gateway {
  readonly process: GatewayProcess
  /** Like a route that needs an access token, and a new one if the upstream refuses it. */
  request(session: number, reference: SessionReference, details?: RequestDetails): Promise<void>
  /** Like the back-channel logout route, which has no refresh token to revoke. */
  endAll(session: number, index: string): Promise<void>
  /** Like the logout route. */
  logout(session: number, reference: SessionReference): Promise<void>
  /** Whether a renewal is under way. */
  isBusy(): Promise<boolean>
}

export interface RequestDetails {
  /** An API with tokens of its own. */
  resource?: string | undefined
  refusedAfterMs?: number | undefined
}

export interface GatewayOptions {
  process: GatewayProcess
  store: SessionStore
  issuer: UserGrantOptions['issuer']
  history: History
  /** Whether the store still has the session, even if a gateway can't reach the store. */
  isAlive(session: number): Promise<boolean>
  weaken(parts: RenewalParts): RenewalParts
}

/** The dependencies of a renewer. */
export interface RenewalParts {
  store: SessionStore
  sessions: Sessions
  issuer: UserGrantOptions['issuer']
}

const log = { trace() {}, debug() {}, info() {}, warn() {} }

export function createGateway({ process, store, issuer, history, isAlive, weaken }: GatewayOptions): Gateway {
  const { gateway, clock } = process
  const sessions = createSessions({ store, clock, ...lifetimes })
  const renewer = createUserTokens({
    ...weaken({ store, sessions, issuer }),
    clock,
    random: () => 0.999,
    reportEnding: () => {},
    onRenewed: () => {},
    issuerTimeoutMs,
    refreshBeforeExpirationMs,
    maxBackingOff: 10,
  })

  return {
    process,

    async request(session, reference, { resource, refusedAfterMs } = {}) {
      const opened = await sessions.load(reference, { slide: false }).catch(() => undefined)
      if (!opened) return
      const target = targetOf(resource)
      const api = resource ?? 'api'
      const used = await note(session, target, 'for a token', () =>
        renewer.withUsableToken(opened, log, target),
      )
      if (!used || refusedAfterMs === undefined) return
      await clock.sleep(refusedAfterMs)
      await note(session, target, 'after a refusal', () => renewer.forceRenewal(used, api, log, target))
    },

    async logout(session, reference) {
      const opened = await sessions.load(reference, { slide: false }).catch(() => undefined)
      if (!opened) return
      history.logouts.push({ at: clock.monotonic(), session, gateway, revokes: true })
      history.log(`gateway ${gateway}`, `logs session ${session} out`)
      const last = await sessions.end(opened).catch(() => undefined)
      const refreshToken = last?.tokenSet.refreshToken
      if (refreshToken !== undefined) await issuer.revoke(refreshToken).catch(() => {})
    },

    async endAll(session, index) {
      history.logouts.push({ at: clock.monotonic(), session, gateway, revokes: false })
      history.log(`gateway ${gateway}`, `gets the issuer's notice that session ${session} has ended`)
      await store.destroyBy(index).catch(() => {})
    },

    async isBusy() {
      return Promise.race([renewer.idle().then(() => false), turns().then(() => true)])
    },
  }

  async function note(
    session: number,
    target: TokenTarget | undefined,
    asked: RequestOutcome['asked'],
    ask: () => Promise<Session | undefined>,
  ): Promise<Session | undefined> {
    const resource = target?.parameters.resource
    const startedAt = clock.monotonic()
    const request: RequestOutcome = { gateway, session, resource, asked, startedAt, frozenMs: 0 }
    const askedAt = clock.now()
    history.requests.push(request)
    history.log(`gateway ${gateway}`, `a request of session ${session} asks ${asked}`)
    try {
      const answer = await ask()
      request.outcome = answer ? 'token' : 'nothing'
      if (!answer) return undefined
      const held = heldToken(answer.record, target)
      request.accessToken = held?.accessToken ?? 'none'
      request.sendable = held !== undefined && isSendable(held, askedAt)
      return answer
    } catch (error) {
      request.outcome = nameOf(error)
      if (error instanceof GatewayError && error.statusCode === 401) request.alive = await isAlive(session)
      return undefined
    } finally {
      request.endedAt = clock.monotonic()
      request.frozenMs = process.frozenMs(request.startedAt)
      history.log(`gateway ${gateway}`, `the request ends with ${request.accessToken ?? request.outcome}`)
    }
  }

  function isSendable(held: HeldToken, askedAt: number): boolean {
    const { renewedAt } = held
    const broughtMeanwhile = renewedAt !== undefined && renewedAt >= askedAt
    return (
      broughtMeanwhile || decideRenewal(renewable(held), refreshBeforeExpirationMs, clock.now()) !== 'wait'
    )
  }
}

/** Undefined for the session's own token. */
export function targetOf(resource: string | undefined): TokenTarget | undefined {
  return resource === undefined ? undefined : tokenTarget({ resource })
}

/** Every session here has a refresh token. */
export function renewable(held: HeldToken) {
  return { ...held, canRenew: true }
}

function nameOf(error: unknown): string {
  if (error instanceof GatewayError || error instanceof StoreUnavailableError) return error.code
  return `unexpected: ${error}`
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}
