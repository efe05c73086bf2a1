import type { SessionRecord } from '../../plugins/session/session-record.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What happened in one run, as somebody saw it who sees everything. Times are virtual milliseconds. */
export interface History {
  readonly attempts: Attempt[]
  readonly requests: RequestOutcome[]
  readonly stored: StoredTokens[]
  readonly endings: Ending[]
  readonly logouts: Logout[]
  readonly troubles: Trouble[]
  readonly failovers: Failover[]
  readonly timeline: string[]
  /** A line of the timeline. */
  tell(who: string, what: string): void
}

/** A refresh token grant that a gateway asked for. */
export interface Attempt {
  gateway: number
  session: number
  refreshToken: string
  /** What the access token is to be for, unless it is the session's own. */
  resource: string | undefined
  sentAt: number
  /** The stored access token of that kind was not yet in the renewal window. */
  early: boolean
  /** What the issuer made of it, when it got there. */
  verdict?: 'granted' | 'refused' | 'failed'
  arrivedAt?: number
  /** The session's newest refresh token from then on. */
  broughtRefreshToken?: string
  foreign?: boolean
  /** What the gateway learned of it. */
  answer?: 'granted' | 'refused' | 'failed'
  answeredAt?: number
  retryAfterMs?: number
}

/** What became of a request once its session was open. */
export interface RequestOutcome {
  gateway: number
  session: number
  /** What the token is to be for, unless it is the session's own. */
  resource: string | undefined
  asked: 'for a token' | 'after a refusal'
  startedAt: number
  endedAt?: number
  /** How long its process was frozen meanwhile. */
  frozenMs: number
  outcome?: 'token' | 'nothing' | string
  accessToken?: string
  /** With the outcome `token`: it can be sent, or was brought since the request came. */
  sendable?: boolean
  /** With a 401: the store has the session still. */
  alive?: boolean
}

export interface Logout {
  at: number
  session: number
  gateway: number
  /** Whether it is the one to revoke the session's refresh token. */
  revokes: boolean
}

export interface StoredTokens {
  at: number
  gateway: number
  session: number
  version: number
  /** By then another server was the master. */
  onOldMaster: boolean
  record: SessionRecord
}

export interface Ending {
  at: number
  gateway: number
  /** By then another server was the master. */
  onOldMaster: boolean
  session: number
  refreshToken: string | undefined
}

/** A replica took the master's place. */
export interface Failover {
  at: number
  /** What was written from then on may have been lost. */
  lostFrom: number
  /** When the last gateway heard of it. */
  heardAt: number
}

/** Something of the plan that befell a gateway, or all of them. */
export interface Trouble {
  at: number
  until: number
  gateway: number | 'all'
  crash: boolean
}

export function createHistory(time: VirtualTime): History {
  const timeline: string[] = []
  return {
    attempts: [],
    requests: [],
    stored: [],
    endings: [],
    logouts: [],
    troubles: [],
    failovers: [],
    timeline,
    tell: (who, what) => timeline.push(`${String(time.now()).padStart(7)} ms  ${who}: ${what}`),
  }
}
