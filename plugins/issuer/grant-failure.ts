import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client'

/** Why a grant failed. */
export type GrantFailure =
  /** Only a new login helps: the refresh token is invalid, or the user must interact or has lost access. */
  | ({ outcome: 'refused'; requestSpecific?: true } & IssuerRefusal)
  /** A retry may succeed: a problem of the network, the issuer or our client registration. The session stays. */
  | {
      outcome: 'failed'
      reason: string
      retryAfterMs?: number
      /** The issuer works but declines this request; one with other parameters may succeed. */
      requestSpecific?: true
      /**
       * Set if the error is about this request, not the client or the issuer's health. If it persists, the user must
       * log in.
       */
      refusal?: IssuerRefusal
      /**
       * The issuer has answered with tokens, but the answer can't be used. The refresh token that was sent may be spent;
       * this one replaces it.
       */
      refreshToken?: string
    }

/** The issuer's error response. */
export interface IssuerRefusal {
  /** An OAuth error code, or `unknown_error` in place of a value that could contain a secret. */
  oauthError: string
  /** The issuer's `error_description`, with anything that could be a token removed. */
  errorDescription?: string
}

/**
 * The refresh token itself is invalid: `invalid_grant` (RFC 6749 section 5.2), or a non-standard code of some
 * issuers.
 */
const deadTokenErrors = new Set([
  'invalid_grant',
  'invalid_token',
  'invalid_refresh_token',
  'bad_refresh_token',
  'expired_token',
])

/**
 * Error codes that say that the user must interact or has lost access.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AuthError and
 *   https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1 (`access_denied`, which Okta and Auth0 send for a refresh
 *   once a policy excludes the user) and https://www.rfc-editor.org/rfc/rfc9470#section-3. The others are specific to
 *   single issuers: Entra, Auth0, Salesforce
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
const requestErrors = new Set([
  'invalid_target',
  'invalid_scope',
  'invalid_request',
  'unauthorized_client',
  'unsupported_grant_type',
])

/** Codes about the client or the issuer's health, not about the request. The patterns match non-standard codes. */
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
  const oauthError = (await errorInChallenge(error)) ?? errorInBody(error)
  const requestSpecific =
    oauthError && (requestErrors.has(oauthError.code) || userErrors.has(oauthError.code))
  if (oauthError && (deadTokenErrors.has(oauthError.code) || userErrors.has(oauthError.code))) {
    return { outcome: 'refused', ...refusalOf(oauthError), ...(requestSpecific && { requestSpecific: true }) }
  }
  const retryAfterMs = retryAfterOf(error, now)
  return {
    outcome: 'failed',
    reason: failureReason(error),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(requestSpecific && { requestSpecific: true }),
    ...(oauthError && isAboutRequest(oauthError) && { refusal: refusalOf(oauthError) }),
  }
}

/** An OAuth error as received, not yet checked. */
interface OAuthError {
  code: string
  description?: string | undefined
  status: number
}

function isAboutRequest({ code, status }: OAuthError): boolean {
  if (status !== 400 && status !== 403) return false
  return !notAboutRequest.has(code) && !aboutClient.test(code) && !aboutHealth.test(code)
}

function errorInBody(error: unknown): OAuthError | undefined {
  const code = oauthErrorOf(error)
  if (code === undefined || !(error instanceof ResponseBodyError)) return undefined
  return { code, description: error.error_description, status: error.status }
}

/** Some issuers send `WWW-Authenticate` with every error; openid-client then does not read the body. */
async function errorInChallenge(error: unknown): Promise<OAuthError | undefined> {
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

function refusalOf({ code, description }: OAuthError): IssuerRefusal {
  return {
    oauthError: oauthErrorName.test(code) ? code : 'unknown_error',
    ...(description !== undefined && { errorDescription: withoutTokens(description) }),
  }
}

const maxDescriptionLength = 200

/** Some issuers quote the token in the description. Removes everything as long as a token, and line breaks. */
function withoutTokens(description: string): string {
  const text = description.slice(0, 4 * maxDescriptionLength).replace(/[^\s"'<>()]{24,}/g, '…')
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, maxDescriptionLength)
}

/**
 * The OAuth error code about the request. None for a 429: the issuer has not processed that request, whatever the
 * code.
 */
export function oauthErrorOf(error: unknown): string | undefined {
  return error instanceof ResponseBodyError && error.status !== 429 ? error.error : undefined
}

/** Form of an OAuth error name. Anyone can put a code or token into a callback URL's `error`; those don't match. */
const oauthErrorName = /^[a-z_]{1,64}$/

/** Whether the issuer refused the authorization code itself, not the client, and not because it is overloaded. */
export function isRefusedCode(error: unknown): boolean {
  const status = responseOf(error)?.status ?? 0
  if (status < 400 || status >= 500 || status === 408 || status === 429) return false
  const code = error instanceof ResponseBodyError ? error.error : ''
  return !notAboutRequest.has(code) && !aboutClient.test(code) && !aboutHealth.test(code)
}

/** A short word for the log: an OAuth error, an error code, a status. Never free text. */
export function failureReason(error: unknown): string {
  if (error instanceof ResponseBodyError || error instanceof AuthorizationResponseError)
    return oauthErrorName.test(error.error) ? error.error : error.code
  if (error instanceof WWWAuthenticateChallengeError) return 'client_authentication_rejected'
  const answer = responseOf(error)
  if (answer && !answer.ok) return `http_${answer.status}`
  if (error instanceof ClientError) return error.code ?? 'protocol_error'
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return error instanceof Error ? error.name : 'unknown'
}

/** The issuer's `error_description`, with anything that could be a token removed. */
export function descriptionOf(error: unknown): string | undefined {
  const hasDescription = error instanceof ResponseBodyError || error instanceof AuthorizationResponseError
  return hasDescription && error.error_description !== undefined
    ? withoutTokens(error.error_description)
    : undefined
}

/** The status of the issuer's response; undefined if there was none. */
export function statusOf(error: unknown): number | undefined {
  return responseOf(error)?.status
}

function responseOf(error: unknown): Response | undefined {
  if (error instanceof ResponseBodyError || error instanceof WWWAuthenticateChallengeError)
    return error.response
  if (error instanceof ClientError && error.cause instanceof Response) return error.cause
  return undefined
}

/**
 * The response's `Retry-After`, in milliseconds from `now`.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function retryAfterOf(error: unknown, now: number): number | undefined {
  const value = responseOf(error)?.headers.get('retry-after')
  if (!value) return undefined
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}
