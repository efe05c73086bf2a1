import { AuthorizationResponseError } from 'openid-client'
import { descriptionOf, failureReason, isRefusedCode } from './grant-failure.ts'

/** The login failed a check, or the issuer refused it. */
export class LoginError extends Error {
  /** The `error` of the authorization response, if it had one. */
  readonly oauthError: string | undefined
  /** A short word for the log. */
  readonly reason: string
  /** The issuer's `error_description`, for the log, with anything that could be a token removed. */
  readonly errorDescription: string | undefined
  /** Whether the issuer refused the code, for example because it never issued it. */
  readonly isRefusal: boolean

  constructor(cause: unknown) {
    super('The login could not be completed', { cause })
    this.reason = failureReason(cause)
    this.errorDescription = descriptionOf(cause)
    this.isRefusal = isRefusedCode(cause)
    this.oauthError = cause instanceof AuthorizationResponseError ? cause.error : undefined
  }
}
