import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client'

/** Why a grant brought nothing. */
export type GrantFailure =
  /** Only the user can mend it: the refresh token is dead, or the user is needed or has lost access. */
  | ({ outcome: 'refused'; particular?: true } & IssuerRefusal)
  /** It may work later: the network, the issuer's health, our registration there. The session stays. */
  | {
      outcome: 'failed'
      reason: string
      retryAfterMs?: number
      /** The issuer works, and declines what was asked for: another request may well succeed. */
      particular?: true
      /** Said of the request, neither of the client nor of the issuer's health. If it lasts, only the user can mend it. */
      refusal?: IssuerRefusal
    }

/** What an issuer says when it refuses a grant. */
export interface IssuerRefusal {
  /** An OAuth error code, or `unknown_error` in the place of one that could hold something secret. */
  oauthError: string
  /** What the issuer wrote, without what could be a token. */
  errorDescription?: string
}

/** Said of the refresh token itself. `invalid_grant` by RFC 6749 section 5.2; the others by issuers that ignore it. */
const deadTokenErrors = new Set([
  'invalid_grant',
  'invalid_token',
  'invalid_refresh_token',
  'bad_refresh_token',
  'expired_token',
])

/**
 * By which an issuer says that the user is needed, or has lost access.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AuthError and
 *   https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1 (`access_denied`, which Okta and Auth0 answer to a refresh once
 *   a policy excludes the user) and https://www.rfc-editor.org/rfc/rfc9470#section-3. The others are those of single
 *   issuers: Entra, Auth0, Salesforce
 */
const userErrors = new Set([
  'interaction_required',
  'login_required',
  'consent_required',
  'account_selection_required',
  'registration_required',
  'unmet_authentication_requirements',
  'insufficient_user_authentication',
  'access_denied',
  'mfa_required',
  'mfa_registration_required',
  'reauthentication_required',
  'user_authentication_required',
  'password_change_required',
  'password_expired',
  'invalid_account',
  'invalid_user',
  'inactive_user',
  'user_not_found',
  'user_disabled',
  'user_blocked',
  'user_locked',
  'account_disabled',
  'account_locked',
])

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and https://www.rfc-editor.org/rfc/rfc8707#section-2 */
const particularErrors = new Set([
  'invalid_target',
  'invalid_scope',
  'invalid_request',
  'unauthorized_client',
  'unsupported_grant_type',
])

/** Codes that are about us or about the issuer's health, not about the request; the patterns are for codes of no standard. */
const notAboutRequest = new Set([
  'invalid_scope',
  'unsupported_grant_type',
  'server_error',
  'slow_down',
  'invalid_dpop_proof',
  'use_dpop_nonce',
])
const aboutClient = /client/
const aboutHealth = /unavailable|rate_limit|too_many|throttl|quota|timeout|timed_out|internal|overload|busy/

/**
 * @param now in milliseconds since the epoch, for a `Retry-After` that is a date
 */
export async function grantFailure(error: unknown, now: number): Promise<GrantFailure> {
  const said = (await saidInChallenge(error)) ?? saidInBody(error)
  const particular = said && (particularErrors.has(said.code) || userErrors.has(said.code))
  if (said && (deadTokenErrors.has(said.code) || userErrors.has(said.code))) {
    return { outcome: 'refused', ...refusalOf(said), ...(particular && { particular: true }) }
  }
  const retryAfterMs = retryAfterOf(error, now)
  return {
    outcome: 'failed',
    reason: failureReason(error),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(particular && { particular: true }),
    ...(said && isAboutRequest(said) && { refusal: refusalOf(said) }),
  }
}

/** An OAuth error, as it came. */
interface Said {
  code: string
  description?: string | undefined
  status: number
}

function isAboutRequest({ code, status }: Said): boolean {
  if (status !== 400 && status !== 403) return false
  return !notAboutRequest.has(code) && !aboutClient.test(code) && !aboutHealth.test(code)
}

function saidInBody(error: unknown): Said | undefined {
  const code = oauthErrorOf(error)
  if (code === undefined || !(error instanceof ResponseBodyError)) return undefined
  return { code, description: error.error_description, status: error.status }
}

/** Some issuers send a challenge (`WWW-Authenticate`) with every error, and openid-client looks no further then. */
async function saidInChallenge(error: unknown): Promise<Said | undefined> {
  if (!(error instanceof WWWAuthenticateChallengeError)) return undefined
  const { response, status } = error
  if (status === 429 || status >= 500 || response.bodyUsed) return undefined
  const body: unknown = await response.json().catch(() => undefined)
  if (typeof body !== 'object' || body === null || !('error' in body) || typeof body.error !== 'string')
    return undefined
  const description =
    'error_description' in body && typeof body.error_description === 'string'
      ? body.error_description
      : undefined
  return { code: body.error, description, status }
}

function refusalOf({ code, description }: Said): IssuerRefusal {
  return {
    oauthError: oauthErrorName.test(code) ? code : 'unknown_error',
    ...(description !== undefined && { errorDescription: withoutTokens(description) }),
  }
}

const maxDescriptionLength = 200

/** A description is prose, but some issuers quote the token in it. Whatever is as long as one goes, in one line. */
function withoutTokens(description: string): string {
  const text = description.slice(0, 4 * maxDescriptionLength).replace(/[^\s"'<>()]{24,}/g, '…')
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, maxDescriptionLength)
}

/** What the issuer says of the request. One that it is too busy for it has not looked at, whatever it calls that. */
export function oauthErrorOf(error: unknown): string | undefined {
  return error instanceof ResponseBodyError && error.status !== 429 ? error.error : undefined
}

/** What errors are called. A code or a token, which anybody can put in its place in a callback's URL, looks different. */
const oauthErrorName = /^[a-z_]{1,64}$/

/** Whether the issuer refused the authorization code, rather than the client or any request just now. */
export function isRefusedCode(error: unknown): boolean {
  const status = answerOf(error)?.status ?? 0
  if (status < 400 || status >= 500 || status === 408 || status === 429) return false
  const code = error instanceof ResponseBodyError ? error.error : ''
  return !notAboutRequest.has(code) && !aboutClient.test(code) && !aboutHealth.test(code)
}

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
