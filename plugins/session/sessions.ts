import type { Clock } from '../../lib/clock.ts'
import type { SessionEndReason } from '../observability/metrics.ts'
import type { SessionStore, StoredRecord } from '../session-store/store.ts'
import { follow } from './follow.ts'
import { createFoundEnds, type FoundEndReason } from './found-end.ts'
import { createProfileNotes } from './profile-notes.ts'
import { createLatestUnsealer, formatOf, newestFormat, seal, unseal } from './sealing.ts'
import { LoadedSession, type Session, sessionHash } from './session.ts'
import { sidIndex, subjectIndex } from './session-indexes.ts'
import type { SessionClient, SessionProfiles } from './session-profiles.ts'
import { logName, type SessionRecord, sessionRecord } from './session-record.ts'
import {
  createKeyDerivation,
  newReference,
  type RecordKeys,
  type SessionReference,
} from './session-reference.ts'

/** A session with the content of its cookie. */
export interface BrowserSession {
  reference: SessionReference
  session: Session
}

export type StoreTokensOutcome =
  | { outcome: 'stored'; session: Session }
  /** Newer tokens were stored meanwhile. */
  | { outcome: 'conflict' }
  | { outcome: 'gone' }

export interface Sessions {
  /** Stores a session under a new identifier. @param client the browser that logs in */
  create(login: NewSession, client?: SessionClient): Promise<BrowserSession>
  /**
   * Ends the oldest sessions of a user who exceeds the limit since `newest` was created, and notes that in its profile.
   * @returns those that were ended. Without their cookies only their identifiers are known
   */
  enforceLimit(newest: Session): Promise<Pick<Session, 'id'>[]>
  /**
   * Loads the session that a cookie refers to, and extends its idle timeout unless `slide` is false.
   * @param options `client`: the browser that uses it now
   */
  load(
    reference: SessionReference,
    options?: { slide?: boolean; client?: () => SessionClient },
  ): Promise<Session | undefined>
  /**
   * The same without waiting, if the store has the record in memory and the idle timeout need not be extended yet.
   * @returns undefined otherwise: call `load`
   */
  loadCached(reference: SessionReference): Session | undefined
  /** The session as it is stored now, or undefined if it has ended. */
  reload(session: Session): Promise<Session | undefined>
  /**
   * Seals a record with renewed tokens. The returned function writes it by compare-and-set over the session's
   * version. It can be called again if the store did not answer: it recognises its own earlier write.
   */
  prepareWrite(session: Session, renewed: SessionRecord): () => Promise<StoreTokensOutcome>
  /**
   * Notes in the session's profile that it is bound to a device, for lists of sessions. The record says so too, but can't
   * be read without the cookie.
   */
  noteBound(session: Pick<Session, 'id'>): Promise<void>
  /**
   * Ends a session; with `onlyThisVersion` only if no newer tokens were stored. The reason is for `follow` in other
   * processes.
   * @returns its last record, whose tokens can be revoked; undefined if nothing was ended
   */
  end(
    session: Session,
    options?: { onlyThisVersion?: boolean; reason?: SessionEndReason },
  ): Promise<SessionRecord | undefined>
  /**
   * Follows a session through changes by this and other processes. Does not extend its idle timeout.
   * @param onChanged called with the session after each renewal
   * @returns why it ended, or undefined when `signal` aborts
   */
  follow(
    session: Session,
    signal: AbortSignal,
    onChanged?: (session: Session) => void,
  ): Promise<SessionEndReason | undefined>
  /**
   * Finds out why there is no session for a cookie: it has expired, or the store lost it.
   * @param cookieMadeAt in milliseconds since the epoch, if it is known
   * @returns undefined if its end was reported before, by whichever process
   */
  findEnd(reference: SessionReference, cookieMadeAt: number | undefined): Promise<FoundEnd | undefined>
  /** Whether the caller is the first to report that a session has expired or is lost. */
  claimFoundEnd(session: Pick<Session, 'id'>): Promise<boolean>
}

export interface FoundEnd {
  reason: FoundEndReason
  sessionHash: string
  /** Unset: this process has not seen the session. */
  user?: string | undefined
}

export type NewSession = Pick<
  SessionRecord,
  'issuer' | 'subject' | 'sid' | 'claims' | 'sessionState' | 'tokenSet'
>

export interface SessionsOptions {
  store: SessionStore
  clock: Clock
  /** The gateway's client ID: sessions of other clients may be in the same store. */
  clientId: string
  idleTimeoutMs: number
  lifetimeMs: number
  /** Maximum number of sessions per user. Unset: unlimited. */
  maxPerUser?: number
  /** Unset: sessions have no profiles, and lists show only that they exist. */
  profiles?: SessionProfiles
}

export function createSessions(options: SessionsOptions): Sessions {
  const { store, clock, clientId, idleTimeoutMs, lifetimeMs, maxPerUser } = options
  // Extends the idle timeout at most once a minute; more often for short idle timeouts.
  const slideEveryMs = Math.min(60_000, idleTimeoutMs / 4)
  const unsealLatest = createLatestUnsealer(sessionRecord)
  const keysOf = createKeyDerivation()
  const foundEnds = createFoundEnds(options)
  const profiles = createProfileNotes(options)

  return {
    async create(login, client) {
      const reference = newReference()
      const keys = keysOf(reference)
      const { id, key } = keys
      const record: SessionRecord = { ...login, createdAt: clock.now(), renewals: 0 }
      const ttlMs = timeToLive(record)
      await store.create(id, {
        sealed: seal(record, { key, id, version: 1 }),
        ttlMs,
        indexes: [
          subjectIndex(login.issuer, clientId, login.subject),
          sidIndex(login.issuer, clientId, login.sid),
        ],
        profile: profiles.begun(id, record.createdAt, client),
      })
      const expiresAt = clock.now() + ttlMs
      keys.aliveUntil = expiresAt
      keys.user = logName(record)
      return {
        reference,
        session: new LoadedSession({ id, key, record, version: 1, expiresAt, format: newestFormat }),
      }
    },

    async enforceLimit({ id, record }) {
      if (maxPerUser === undefined) return []
      const ended = await store.trim(
        subjectIndex(record.issuer, clientId, record.subject),
        maxPerUser,
        id,
        'evicted_by_user_limit',
      )
      const oldest = ended[0]
      // Only a note for the user: the session has ended all the same, and that must be reported.
      if (oldest) await profiles.endedByLimit(id, oldest).catch(() => {})
      return ended
    },

    async load(reference, { slide = true, client } = {}) {
      const keys = keysOf(reference)
      const session = await read(keys)
      if (!session) return undefined
      const used = slide ? await keepAlive(session, client) : session
      keys.aliveUntil = used.expiresAt
      keys.user ??= logName(used.record)
      return used
    },

    loadCached(reference) {
      const keys = keysOf(reference)
      const stored = store.peek(keys.id)
      const session = stored && unsealed(stored, keys)
      return session && !isSlideDue(session) ? session : undefined
    },

    reload: (session) => read(session),

    prepareWrite(session, record) {
      const { id, key, version, format } = session
      const sealed = seal(record, { key, id, version: version + 1 }, format)
      return async () => {
        const result = await store.replace(id, sealed, version)
        return result.outcome === 'replaced'
          ? {
              outcome: 'stored',
              session: new LoadedSession({ ...session, record, version: result.version }),
            }
          : result
      }
    },

    noteBound: ({ id }) => profiles.bound(id),

    async end({ id, key, version }, { onlyThisVersion = false, reason } = {}) {
      const last = await store.destroy(id, onlyThisVersion ? version : undefined, reason)
      return last && sessionRecord(unseal(last.sealed, { key, id, version: last.version }))
    },

    follow: (session, signal, onChanged) =>
      follow(session, { store, clock, lifetimeMs, reload: read, signal, onChanged }),

    async findEnd(reference, cookieMadeAt) {
      const { id, aliveUntil, user } = keysOf(reference)
      const reason = await foundEnds.reasonOf({ id, startedAt: cookieMadeAt, aliveUntil })
      return reason && { reason, sessionHash: sessionHash({ id }), user }
    },

    claimFoundEnd: ({ id }) => foundEnds.claim(id),
  }

  async function read(keys: RecordKeys): Promise<Session | undefined> {
    const stored = await store.read(keys.id)
    return stored && unsealed(stored, keys)
  }

  /** @returns undefined if the record can't be decrypted with this key, or the session's lifetime is over */
  function unsealed(stored: StoredRecord, { id, key }: RecordKeys): Session | undefined {
    const latest = unsealLatest(stored, key, id)
    if (!latest) return undefined
    const { record } = latest
    const lifetimeLeftMs = record.createdAt + lifetimeMs - clock.now()
    if (lifetimeLeftMs <= 0) return undefined
    const expiresAt = clock.now() + Math.min(stored.ttlMs, lifetimeLeftMs)
    const format = formatOf(stored.sealed) ?? newestFormat
    return new LoadedSession({ id, key: latest.key, record, version: stored.version, expiresAt, format })
  }

  async function keepAlive(session: Session, client: (() => SessionClient) | undefined): Promise<Session> {
    if (!isSlideDue(session)) return session
    const ttlMs = timeToLive(session.record)
    const expiresAt = clock.now() + ttlMs
    await Promise.all([
      store.touch(session.id, ttlMs),
      // Only for lists: a failure concerns no request.
      profiles.used(session, client?.()).catch(() => {}),
    ])
    return new LoadedSession({ ...session, expiresAt })
  }

  function isSlideDue({ record, expiresAt }: Session): boolean {
    return clock.now() + timeToLive(record) - expiresAt >= slideEveryMs
  }

  function timeToLive(record: SessionRecord): number {
    return Math.min(idleTimeoutMs, record.createdAt + lifetimeMs - clock.now())
  }
}
