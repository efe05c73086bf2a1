/** A claim of the signed-in user. Objects are JSON text. */
export interface BffClaim {
  type: string
  value: string
}

export interface BffUser {
  claims: BffClaim[]
  /** The issuer's identifier of the user. */
  subject: string
  name: string | undefined
  /** Where to log out: a path of the gateway, with the session's `sid`. */
  logoutUrl: string
  /** Seconds until the session ends unless it is used. */
  expiresIn: number
}

/** What the gateway tells of the session, as `/bff/session` answers. */
export interface SignedIn {
  isAuthenticated: true
  timestamp: string
  claims: BffClaim[]
  identity: { isAuthenticated: true; name: string; authenticationType: 'oidc' }
  /** `remainingTime` in seconds. */
  cookieLifetime: { issuedUtc: string; expiresUtc: string; remainingTime: number }
  /** The access token itself stays at the gateway. `expiresIn` in seconds. */
  accessToken: {
    expiresUtc: string | null
    expiresIn: number | null
    renewedUtc: string | null
    renewals: number
    scope: string | null
    tokenType: string
  }
  sid: string
  /** The session is bound to the browser's device. */
  bound: boolean
}

export interface SignedOut {
  isAuthenticated: false
  /** Why the session ended, if it ended while this page was open: `logout`, `backchannel_logout`, `idle` and others. */
  reason?: string
}

export type BffSession = SignedIn | SignedOut

/** One of the user's sessions. Times are ISO 8601; null: not known. */
export interface BffUserSession {
  /** For `endSession`. */
  id: string
  /** Whether it is this browser's. */
  current: boolean
  createdAt: string | null
  lastUsedAt: string | null
  userAgent: string | null
  address: string | null
  /** Whether it is bound to a device. */
  bound: boolean
  /** The session that the login of this one ended, because the user had too many. */
  endedByLimit?: Pick<BffUserSession, 'createdAt' | 'lastUsedAt' | 'userAgent' | 'address'> & {
    endedAt: string
  }
}

export interface BffClientOptions {
  /** URL of the gateway, with its base path if it has one. Default: this page's origin. */
  url?: string
  /** The gateway's `CSRF_HEADER`. Default: `x-csrf`. */
  csrfHeader?: string
  /** Called when a request was refused because no user is signed in. Default: nothing, the response tells. */
  onLoginRequired?: (loginUrl: string) => void
}

export interface BffClient {
  /**
   * Like the browser's `fetch`, for calls through the gateway: adds the CSRF header and the cookie. A GET or HEAD that is
   * answered 503 with `Retry-After` is repeated once after that time. Paths are relative to the gateway's URL.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>
  /** The signed-in user, or null. Extends the session. @throws BffError */
  user(): Promise<BffUser | null>
  /** The session. Extends it. @throws BffError */
  session(): Promise<BffSession>
  /** The user's sessions in all browsers, the one used last first. Extends this one. @throws BffError */
  sessions(): Promise<BffUserSession[]>
  /** Ends one of them. @throws BffError */
  endSession(id: string): Promise<void>
  /** Ends all but this one. @returns how many. @throws BffError */
  endOtherSessions(): Promise<number>
  /** Leaves this page to log in. `returnUrl` is this page by default. */
  login(options?: { returnUrl?: string }): void
  /** Leaves this page to log out. `returnUrl` is the start page by default. */
  logout(options?: { returnUrl?: string }): Promise<void>
  /** Logs in without interaction if the user is signed in at the issuer. Resolves to whether a user is signed in now. */
  silentLogin(options?: { timeoutMs?: number }): Promise<boolean>
  /**
   * Calls the listener with the session now, after each renewal of its token, and when it ends, wherever it was ended.
   * All tabs share one connection. @returns a function that removes the listener
   */
  onSession(listener: SessionListener): () => void
}

export type SessionListener = (session: BffSession, event: SessionEvent) => void

/** `expiring`: the session ends in less than a minute unless it is used. */
export type SessionEvent = 'session' | 'expiring' | 'ended'

/** The gateway answered with an error. */
export class BffError extends Error {
  /** HTTP status. */
  readonly status: number
  /** As in the gateway's documentation, such as `BFF_STORE_UNAVAILABLE`. */
  readonly code: string | undefined

  constructor(status: number, code: string | undefined) {
    super(`The gateway answered ${status}${code ? ` (${code})` : ''}`)
    this.name = 'BffError'
    this.status = status
    this.code = code
  }
}
