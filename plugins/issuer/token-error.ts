import { errors } from 'jose'

/** A token of the issuer is not valid. */
export class TokenError extends TypeError {
  /** @param code for the log */
  constructor(message: string, code: string, cause?: unknown) {
    super(message, { cause: Object.assign(new Error(message, { cause }), { code }) })
  }
}

/**
 * Whether an error is about a token. False for network errors, and for jose's errors about a key set that could not be
 * fetched or is malformed.
 */
export function isAboutToken(error: unknown): boolean {
  const aboutKeys = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID']
  if (error instanceof TokenError) return true
  return error instanceof errors.JOSEError && !aboutKeys.includes(error.code)
}
