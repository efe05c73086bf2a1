import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client'

/** Why a refresh token grant brought nothing. */
export type GrantFailure =
  /** The issuer will never take this refresh token (again): `invalid_grant`. */
  | { outcome: 'refused' }
  /** It may work later: the network, the issuer's health, our registration there. The session stays. */
  | {
      outcome: 'failed'
      reason: string
      retryAfterMs?: number
      /** The issuer works, and declines what was asked for: another request may well succeed. */
      particular?: true
    }

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and https://www.rfc-editor.org/rfc/rfc8707#section-2 */
const particularErrors = new Set([
  'invalid_target',
  'invalid_scope',
  'invalid_request',
  'unauthorized_client',
  'unsupported_grant_type',
  'access_denied',
])

/** @param now in milliseconds since the epoch, for a `Retry-After` that is a date */
export function grantFailure(error: unknown, now: number): GrantFailure {
  const oauthError = oauthErrorOf(error)
  if (oauthError === 'invalid_grant') return { outcome: 'refused' }
  const retryAfterMs = retryAfterOf(error, now)
  return {
    outcome: 'failed',
    reason: failureReason(error),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(oauthError !== undefined && particularErrors.has(oauthError) && { particular: true }),
  }
}

/** What the issuer says of the request. One that it is too busy for it has not looked at, whatever it calls that. */
export function oauthErrorOf(error: unknown): string | undefined {
  return error instanceof ResponseBodyError && error.status !== 429 ? error.error : undefined
}

/** What errors are called. A code or a token, which anybody can put in its place in a callback's URL, looks different. */
const oauthErrorName = /^[a-z_]{1,64}$/

/** A short word for the log: an OAuth error, an error code, a status. Never what somebody wrote in prose. */
export function failureReason(error: unknown): string {
  if (error instanceof ResponseBodyError || error instanceof AuthorizationResponseError)
    return oauthErrorName.test(error.error) ? error.error : error.code
  if (error instanceof WWWAuthenticateChallengeError) return 'client_authentication_rejected'
  const answer = answerOf(error)
  if (answer && !answer.ok) return `http_${answer.status}`
  if (error instanceof ClientError) return error.code ?? 'protocol_error'
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return error instanceof Error ? error.name : 'unknown'
}

function answerOf(error: unknown): Response | undefined {
  if (error instanceof ResponseBodyError || error instanceof WWWAuthenticateChallengeError)
    return error.response
  if (error instanceof ClientError && error.cause instanceof Response) return error.cause
  return undefined
}

/** When the issuer wants to be asked again, in milliseconds. @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 */
export function retryAfterOf(error: unknown, now: number): number | undefined {
  const value = answerOf(error)?.headers.get('retry-after')
  if (!value) return undefined
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}
