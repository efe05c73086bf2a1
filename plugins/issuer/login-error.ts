import { AuthorizationResponseError, ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client'
import { failureReason } from './grant-failure.ts'

/** A login that must not succeed. */
export class LoginError extends Error {
  /** The OAuth error of the authorization response, when it was one. */
  readonly oauthError: string | undefined
  /** A short word for the log. */
  readonly reason: string
  /** The issuer was asked, and declined: for one, a code that it never gave. */
  readonly isRefusal: boolean

  constructor(cause: unknown) {
    super('The login could not be completed', { cause })
    this.reason = failureReason(cause)
    this.isRefusal = cause instanceof ResponseBodyError || cause instanceof WWWAuthenticateChallengeError
    this.oauthError = cause instanceof AuthorizationResponseError ? cause.error : undefined
  }
}
