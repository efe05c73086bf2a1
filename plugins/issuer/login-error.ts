import { AuthorizationResponseError } from 'openid-client'
import { failureReason, isRefusedCode } from './grant-failure.ts'

/** A login that must not succeed. */
export class LoginError extends Error {
  /** The OAuth error of the authorization response, when it was one. */
  readonly oauthError: string | undefined
  /** A short word for the log. */
  readonly reason: string
  /** The issuer refused the code: for one, because it never issued it. */
  readonly isRefusal: boolean

  constructor(cause: unknown) {
    super('The login could not be completed', { cause })
    this.reason = failureReason(cause)
    this.isRefusal = isRefusedCode(cause)
    this.oauthError = cause instanceof AuthorizationResponseError ? cause.error : undefined
  }
}
