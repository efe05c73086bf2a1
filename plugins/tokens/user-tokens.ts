import { GatewayError } from '../errors/catalogue.ts'
import type { TokenTarget } from '../issuer/token-set.ts'
import { type Metrics, noMetrics } from '../observability/metrics.ts'
import type { RenewableToken, RenewalLog, TokenTimes } from '../renewal/renewable-token.ts'
import type { RenewalResult } from '../renewal/renewal-lock.ts'
import { createRenewer, logWith, type RenewerOptions } from '../renewal/renewer.ts'
import type { Session } from '../session/session.ts'
import { grantCredential, heldToken, isRenewedSince, type SessionRecord } from '../session/session-record.ts'
import { createUserGrant, endUnlessRenewed, type UserGrantOptions } from './user-grant.ts'

/** Access tokens of users. They live in their sessions' records. */
export interface UserTokens {
  /**
   * The session with an access token that can be sent now. Waits for the issuer only if there is none.
   *
   * @param target unset: the session's own token
   * @throws GatewayError BFF_SESSION_ENDED when the issuer refused to renew, BFF_SESSION_REQUIRED when the session
   *   ended meanwhile, BFF_ISSUER_UNAVAILABLE when no usable token was available in time
   * @throws StoreUnavailableError
   */
  withUsableToken(session: Session, log: RenewalLog, target?: TokenTarget): Promise<Session>
  /** Whether `withUsableToken` would return this very session and do nothing else. */
  isFresh(session: Session, target?: TokenTarget): boolean
  /**
   * After an upstream has answered 401 to the session's token: the session with a newer token, stored meanwhile or from
   * a forced renewal, or undefined if there is none now. At most one forced renewal per session, target, upstream and
   * `refreshBeforeExpirationMs`, for upstreams that refuse every token.
   *
   * @param upstream name of the upstream, for the limit of forced renewals
   * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED
   */
  forceRenewal(
    session: Session,
    upstream: string,
    log: RenewalLog,
    target?: TokenTarget,
  ): Promise<Session | undefined>
  /** Resolves when no renewal is under way. */
  idle(): Promise<void>
}

/** Token for an application's own call. */
export interface WantedToken {
  /** Unset: the session's own token. */
  target?: TokenTarget | undefined
  /** Set after an API has refused the last one. */
  forceRenewal?: boolean | undefined
}

export interface UserTokensOptions extends Omit<RenewerOptions, 'onWaiting'>, UserGrantOptions {
  /** Default: no metrics. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
}

export function createUserTokens(options: UserTokensOptions): UserTokens {
  const { sessions, metrics = noMetrics, reportEnding } = options
  const renewer = createRenewer<Session>({ ...options, onWaiting: metrics.renewalWaiters })
  const grant = createUserGrant(options)

  return {
    async withUsableToken(session, log, target) {
      return valueOrThrow(await renewer.usable(tokenOf(session, target, log), session))
    },
    isFresh: (session, target) =>
      renewer.isFresh({ times: ({ record }) => timesOf(record, target) }, session),
    async forceRenewal(session, upstream, log, target) {
      if (grantCredential(session.record, target) === undefined) return undefined
      const result = await renewer.forceRenewal(tokenOf(session, target, log), session, upstream)
      // Otherwise the browser gets the upstream's 401.
      const isOver = result.outcome === 'ended' || result.outcome === 'gone'
      return isOver || result.outcome === 'obtained' ? valueOrThrow(result) : undefined
    },
    idle: renewer.idle,
  }

  function tokenOf(
    session: Session,
    target: TokenTarget | undefined,
    requestLog: RenewalLog,
  ): RenewableToken<Session> {
    const log = target ? logWith(requestLog, { target: target.key }) : requestLog
    return {
      key: target ? `${session.id} ${target.key}` : session.id,
      // All grants of a session share its refresh token.
      lockId: session.id,
      log,
      times: ({ record }) => timesOf(record, target),
      isNewer: (current, seen) => isRenewedSince(seen.record, current.record, target),
      read: () => sessions.reload(session),
      grant: (current, lock, storeTime) => grant(current, { target, lock, log, storeTime }),
      // The session ends once its own token has expired and can't be renewed; an API's expired token ends nothing.
      ...(target ? { prepare: prepareFor(target, requestLog) } : { end: (expired) => end(expired, log) }),
    }
  }

  function prepareFor(
    target: TokenTarget,
    requestLog: RenewalLog,
  ): NonNullable<RenewableToken<Session>['prepare']> {
    return async (session, storeTime, backOffLeftMs) => {
      // A token exchange needs a valid access token. And without a refresh token the session ends with its own token.
      if (target.grant === 'exchange' || session.record.tokenSet.refreshToken === undefined) {
        const sessionToken = await renewer.usable(tokenOf(session, undefined, requestLog), session, storeTime)
        if (sessionToken.outcome !== 'obtained') return sessionToken
      }
      const retryInMs = backOffLeftMs()
      return retryInMs > 0 ? { outcome: 'issuer-unavailable', retryInMs } : undefined
    }
  }

  async function end(session: Session, log: RenewalLog): Promise<RenewalResult<Session>> {
    const renewed = await endUnlessRenewed(sessions, session, 'expired', () => {
      log.warn({ event: 'token.renewal.failed', reason: 'no_refresh_token', final: true, retryInMs: null })
      reportEnding(session, 'expired', log)
    })
    return renewed ? { outcome: 'obtained', value: renewed } : { outcome: 'ended' }
  }
}

function timesOf(record: SessionRecord, target: TokenTarget | undefined): TokenTimes | undefined {
  const held = heldToken(record, target)
  if (!held) return undefined
  const { expiresAt, obtainedAt, renewedAt } = held
  return { expiresAt, obtainedAt, renewedAt, canRenew: grantCredential(record, target) !== undefined }
}

/** The token, or the error for the client. */
export function valueOrThrow<T>(result: RenewalResult<T>): T {
  switch (result.outcome) {
    case 'obtained':
      return result.value
    case 'ended': {
      const { tokenError } = result
      throw new GatewayError('BFF_SESSION_ENDED', tokenError ? { details: `Token error: ${tokenError}` } : {})
    }
    case 'gone':
      throw new GatewayError('BFF_SESSION_REQUIRED')
    case 'store-unavailable':
      throw result.error
    case 'issuer-unavailable':
      throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { retryAfterMs: result.retryInMs })
    case 'not-permitted':
      throw new GatewayError('BFF_ISSUER_UNAVAILABLE')
  }
}
