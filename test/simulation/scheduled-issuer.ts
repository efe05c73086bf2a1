import type { GrantOutcome } from '../../plugins/issuer/grants.ts'
import type { UserGrantOptions } from '../../plugins/tokens/user-grant.ts'
import type { Attempt, History } from './history.ts'
import { type ModelIssuer, sessionOf } from './model-issuer.ts'
import type { Fault } from './plan.ts'
import type { GatewayProcess } from './process.ts'
import type { VirtualTime } from './virtual-time.ts'

export const issuerUrl = 'https://issuer.example'
export const clientId = 'gateway'
export const accessTokenMs = 30_000
const shortLivedMs = 100

export interface ScheduledIssuerOptions {
  issuer: ModelIssuer
  process: GatewayProcess
  history: History
  time: VirtualTime
  isDown(): boolean
  /** Whether the session's stored access token of that kind is not yet in its renewal window. */
  isEarly(session: number, resource: string | undefined): boolean
  /** How long a gateway waits for a grant. */
  timeoutMs: number
}

/** One gateway's connection to the issuer, like plugins/issuer over an unreliable network. */
export function scheduledIssuer(options: ScheduledIssuerOptions): UserGrantOptions['issuer'] {
  const { issuer, process, history, time, isDown, isEarly, timeoutMs } = options
  const { gateway } = process
  const name = `gateway ${gateway}`

  return {
    clientId,
    tokenEndpoint: () => `${issuerUrl}/token`,

    async refresh(refreshToken, { resource } = {}) {
      const session = sessionOf(refreshToken)
      const attempt: Attempt = {
        gateway,
        session,
        refreshToken,
        resource,
        sentAt: time.now(),
        early: isEarly(session, resource),
      }
      history.attempts.push(attempt)
      history.log(name, `asks for a grant with ${refreshToken}${resource ? ` for ${resource}` : ''}`)
      const answer = await process.send<GrantOutcome>('refresh', {
        effect: async (fault) => answerTo(attempt, fault),
        lost: () => ({ outcome: 'failed', reason: 'lost' }),
        timeoutMs,
      })
      attempt.answer = answer.outcome
      attempt.answeredAt = time.now()
      if (answer.outcome === 'failed' && answer.retryAfterMs) attempt.retryAfterMs = answer.retryAfterMs
      history.log(name, `learns that the grant was ${answer.outcome}`)
      return answer
    },

    async exchange() {
      throw new Error('Nothing is exchanged here')
    },

    revoke: (token, type = 'refresh_token') =>
      process.send('revoke', {
        effect: async () => {
          if (isDown()) throw new Error('The model issuer is down')
          if (type === 'refresh_token') issuer.revoke(token)
          history.log('issuer', `revokes ${token}`)
        },
        lost() {
          throw new Error('A revocation was lost')
        },
      }),
  }

  function answerTo(attempt: Attempt, fault: Fault | undefined): GrantOutcome {
    const outcome = outcomeOf(attempt, fault)
    attempt.arrivedAt = time.now()
    attempt.verdict = outcome.outcome
    if (outcome.outcome === 'granted') {
      attempt.broughtRefreshToken = outcome.tokens.refreshToken ?? attempt.refreshToken
      if (fault?.kind === 'foreign ID token') attempt.foreign = true
    }
    const brought = outcome.outcome === 'granted' ? `, now ${attempt.broughtRefreshToken}` : ''
    history.log('issuer', `${attempt.refreshToken} from gateway ${gateway}: ${outcome.outcome}${brought}`)
    return outcome
  }

  function outcomeOf({ refreshToken, session, resource }: Attempt, fault: Fault | undefined): GrantOutcome {
    if (isDown() || fault?.kind === 'answered 503') return { outcome: 'failed', reason: 'http_503' }
    if (fault?.kind === 'answered 429')
      return { outcome: 'failed', reason: 'http_429', retryAfterMs: fault.ms }
    const issued = issuer.grant(refreshToken, { rotate: fault?.kind !== 'refresh token omitted', resource })
    if (issued === 'refused') return { outcome: 'refused', oauthError: 'invalid_grant' }
    return {
      outcome: 'granted',
      tokens: {
        ...issued,
        tokenType: 'Bearer',
        expiresInMs: fault?.kind === 'short-lived token' ? shortLivedMs : accessTokenMs,
        idToken: idTokenOf(fault?.kind === 'foreign ID token' ? 'another user' : subjectOf(session)),
      },
    }
  }
}

export function subjectOf(session: number): string {
  return `user of session ${session}`
}

function idTokenOf(sub: string): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  return [encode({ alg: 'none' }), encode({ iss: issuerUrl, sub, aud: clientId }), ''].join('.')
}
