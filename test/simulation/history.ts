import type { SessionRecord } from '../../plugins/session/session-record.ts'
import type { VirtualTime } from './virtual-time.ts'

/** Everything that happened in one run. Times are virtual milliseconds. */
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
  log(who: string, what: string): void
}

/** A refresh token grant that a gateway asked for. */
export interface Attempt {
  gateway: number
  session: number
  refreshToken: string
  /** The API that the access token is for, unless it is the session's own. */
  resource: string | undefined
  sentAt: number
  /** The stored access token of that kind was not yet in the renewal window. */
  early: boolean
  /** The issuer's answer, if the request arrived. */
  verdict?: 'granted' | 'refused' | 'failed'
  arrivedAt?: number
  /** The session's newest refresh token from then on. */
  broughtRefreshToken?: string
  foreign?: boolean
  /** The outcome that the gateway got. */
  answer?: 'granted' | 'refused' | 'failed'
  answeredAt?: number
  retryAfterMs?: number
}

/** The outcome of a request after its session was opened. */
export interface RequestOutcome {
  gateway: number
  session: number
  /** The API that the token is for, unless it is the session's own. */
  resource: string | undefined
  asked: 'for a token' | 'after a refusal'
  startedAt: number
  endedAt?: number
  /** How long its process was frozen during the request. */
  frozenMs: number
  outcome?: 'token' | 'nothing' | string
  accessToken?: string
  /** With the outcome `token`: it can be sent, or was granted after the request arrived. */
  sendable?: boolean
  /** With a 401: the store still has the session. */
  alive?: boolean
}

export interface Logout {
  at: number
  session: number
  gateway: number
  /** Whether this logout has to revoke the session's refresh token. */
  revokes: boolean
}

export interface StoredTokens {
  at: number
  gateway: number
  session: number
  version: number
  /** Another server was the master at that time. */
  onOldMaster: boolean
  record: SessionRecord
}

export interface Ending {
  at: number
  gateway: number
  /** Another server was the master at that time. */
  onOldMaster: boolean
  session: number
  refreshToken: string | undefined
}

/** A replica became the master. */
export interface Failover {
  at: number
  /** Writes after this time may have been lost. */
  lostFrom: number
  /** When the last gateway noticed it. */
  noticedAt: number
}

/** An incident of the plan that affected one gateway, or all. */
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
    log: (who, what) => timeline.push(`${String(time.now()).padStart(7)} ms  ${who}: ${what}`),
  }
}
