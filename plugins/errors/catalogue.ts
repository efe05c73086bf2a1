/** All errors that clients can get, by their stable `code`. Identify errors by code, never by text. */
const catalogue = {
  BFF_SESSION_REQUIRED: {
    statusCode: 401,
    error: 'Not signed in',
    details: 'This needs a session: log in first',
  },
  BFF_SESSION_ENDED: {
    statusCode: 401,
    error: 'Failed to get access token',
    details: 'Token error: invalid_grant',
  },
  BFF_SESSION_NOT_BOUND: {
    statusCode: 401,
    error: 'Session not bound',
    details: 'The session is bound to a device, and the request has no fresh proof that it comes from there',
  },
  BFF_DEVICE_PROOF_REQUIRED: {
    statusCode: 403,
    error: 'Device proof required',
    details: 'Sign the challenge of Secure-Session-Challenge with the key of the session',
  },
  BFF_BINDING_REJECTED: {
    statusCode: 400,
    error: 'Device binding rejected',
    details: 'The proof of the device is not valid, or the session is bound already',
  },
  BFF_ADMIN_TOKEN_REQUIRED: {
    statusCode: 401,
    error: 'Token required',
    details: "The administrator's API needs Authorization: Bearer with ADMIN_TOKEN",
  },
  BFF_CSRF_REJECTED: {
    statusCode: 403,
    error: 'Request rejected',
    details: 'The request could not be verified as coming from the frontend',
  },
  BFF_LOGIN_REJECTED: { statusCode: 400, error: 'Login failed', details: 'The login could not be completed' },
  BFF_LOGIN_LOOP: {
    statusCode: 400,
    error: 'Logging in does not help',
    details:
      'Several logins succeeded, but the browser did not send the session cookie afterwards. Check that it accepts cookies of this site and that its clock is right, then log in again',
  },
  BFF_INVALID_RETURN_URL: {
    statusCode: 400,
    error: 'Invalid returnUrl',
    details: 'returnUrl must be a path on this origin, such as /start, or a URL of an origin in CORS_ORIGINS',
  },
  BFF_INVALID_PARAMETER: { statusCode: 400, error: 'Invalid parameter', details: 'A parameter is not valid' },
  BFF_LOGOUT_REJECTED: {
    statusCode: 400,
    error: 'Logout rejected',
    details: 'Log out with the sid of the session, as in bff:logout_url',
  },
  BFF_NOT_FOUND: { statusCode: 404, error: 'Not found', details: 'There is nothing at this path' },
  BFF_INVALID_PATH: {
    statusCode: 400,
    error: 'Invalid path',
    details: "The path leads outside of the upstream's base path",
  },
  BFF_MALFORMED_REQUEST: {
    statusCode: 400,
    error: 'Malformed request',
    details: 'The request is not valid HTTP',
  },
  BFF_METHOD_NOT_ALLOWED: {
    statusCode: 405,
    error: 'Method not allowed',
    details: 'The method is not allowed here; the Allow header lists those that are',
  },
  BFF_REQUEST_TIMEOUT: {
    statusCode: 408,
    error: 'Request timeout',
    details: 'The request did not arrive in time',
  },
  BFF_BODY_TOO_LARGE: {
    statusCode: 413,
    error: 'Body too large',
    details: 'The body of the request is too large',
  },
  BFF_UNSUPPORTED_MEDIA_TYPE: {
    statusCode: 415,
    error: 'Unsupported media type',
    details: 'The Content-Type of the request is not supported here',
  },
  BFF_WRONG_HOST: {
    statusCode: 421,
    error: 'Wrong host',
    details: 'The request names another host than the public URL',
  },
  BFF_URL_TOO_LONG: { statusCode: 414, error: 'URL too long', details: 'The URL of the request is too long' },
  BFF_RATE_LIMITED: {
    statusCode: 429,
    error: 'Too many requests',
    details: 'Too many requests came from this address: try again later',
  },
  BFF_HEADERS_TOO_LARGE: {
    statusCode: 431,
    error: 'Headers too large',
    details: 'The headers of the request are too large; cookies may be the reason',
  },
  BFF_UPSTREAM_UNREACHABLE: {
    statusCode: 502,
    error: 'Upstream unreachable',
    details: 'The remote API could not be reached',
  },
  BFF_UPSTREAM_TIMEOUT: {
    statusCode: 504,
    error: 'Upstream timeout',
    details: 'The remote API did not answer in time',
  },
  BFF_ISSUER_UNAVAILABLE: {
    statusCode: 503,
    error: 'Identity provider unavailable',
    details: 'The identity provider did not answer as expected; the session is kept',
  },
  BFF_STORE_UNAVAILABLE: {
    statusCode: 503,
    error: 'Session store unavailable',
    details: 'The session store did not answer; the session is kept',
  },
  BFF_OVERLOADED: {
    statusCode: 503,
    error: 'Overloaded',
    details: 'The server has too many requests to answer: try again later',
  },
  BFF_SHUTTING_DOWN: {
    statusCode: 503,
    error: 'Shutting down',
    details:
      'This server process is shutting down and opens no more WebSockets: connect again to reach another one',
  },
  BFF_INTERNAL_ERROR: {
    statusCode: 500,
    error: 'Internal error',
    details: 'An unexpected error occurred',
  },
} as const

export type ErrorCode = keyof typeof catalogue

/** Failures to get an access token: their body has `tokenManagementUsed`. */
const tokenFailures: ReadonlySet<ErrorCode> = new Set(['BFF_SESSION_ENDED', 'BFF_ISSUER_UNAVAILABLE'])

/** Errors that a new login resolves: their body has `loginUrl`. */
const resolvedByLogin: ReadonlySet<ErrorCode> = new Set([
  'BFF_SESSION_REQUIRED',
  'BFF_SESSION_ENDED',
  'BFF_SESSION_NOT_BOUND',
  'BFF_LOGIN_REJECTED',
  'BFF_LOGIN_LOOP',
])

export function isResolvedByLogin(code: ErrorCode): boolean {
  return resolvedByLogin.has(code)
}

export interface ErrorContext {
  /** Replaces the catalogue's text. Shown to clients, so without host names, tokens or stacks. */
  details?: string
  /** Delay after which the client may retry, in milliseconds. */
  retryAfterMs?: number
  cause?: unknown
}

/** An error of the catalogue: the client gets its code and texts, the log its cause as well. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly statusCode: number
  readonly details: string
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, { details, retryAfterMs, cause }: ErrorContext = {}) {
    const entry = catalogue[code]
    super(entry.error, { cause })
    this.code = code
    this.statusCode = entry.statusCode
    this.details = details ?? entry.details
    this.retryAfterMs = retryAfterMs ?? (entry.statusCode === 503 ? 1000 : undefined)
  }

  /** Response headers that Fastify's default error handler adds, in applications that use it. */
  get headers(): Record<string, string> {
    const seconds = retryAfterSeconds(this)
    return { 'cache-control': 'no-store', ...(seconds !== undefined && { 'retry-after': String(seconds) }) }
  }
}

/** The JSON body of an error response. @param loginUrl the login endpoint, as the browser sees it */
export function errorBody(error: GatewayError, requestId: string, loginUrl: string) {
  return {
    statusCode: error.statusCode,
    code: error.code,
    error: error.message,
    details: error.details,
    requestId,
    ...(tokenFailures.has(error.code) && { tokenManagementUsed: true }),
    ...(isResolvedByLogin(error.code) && { loginUrl }),
  }
}

/** Value of `Retry-After` in whole seconds, at least one. @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 */
export function retryAfterSeconds(error: GatewayError): number | undefined {
  return error.retryAfterMs === undefined ? undefined : Math.max(1, Math.ceil(error.retryAfterMs / 1000))
}
