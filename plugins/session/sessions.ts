import { hash as digest, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../lib/clock.ts'
import type { SessionEndReason } from '../observability/metrics.ts'
import type { SessionStore, StoredRecord } from '../session-store/store.ts'
import { sessionInfo } from './claims.ts'
import { type FollowedEnd, follow } from './follow.ts'
import { createLatestUnsealer, formatOf, newestFormat, type SealFormat, seal, unseal } from './sealing.ts'
import { type SessionRecord, sessionRecord } from './session-record.ts'
import { sidIssuer } from './sid-issuer.ts'

/** Content of the session cookie: identifies the session and decrypts its record. Never changes during the session. */
export interface SessionReference {
  /** 32 random bytes, base64url. The store has only their hash. */
  id: string
  /** 32 random bytes, base64url. Stored only in the cookie. */
  key: string
}

/** A session as one request sees it. */
export interface Session {
  /** Hash of the identifier: its key in the store. */
  readonly id: string
  readonly key: Buffer
  readonly record: SessionRecord
  /** Version of the stored record. Incremented only by a renewal and when refusals are counted. */
  readonly version: number
  /** When it expires unless it is used, in milliseconds since the epoch. */
  readonly expiresAt: number
  /**
   * Format of the sealed record. A renewal keeps it: gateways of an earlier release may be running at the same time.
   */
  readonly format: SealFormat
}

export type StoreTokensOutcome =
  | { outcome: 'stored'; session: Session }
  /** Newer tokens were stored meanwhile. */
  | { outcome: 'conflict' }
  | { outcome: 'gone' }

export interface Sessions {
  /** Starts a session under a new identifier. */
  begin(login: NewSession): Promise<{ reference: SessionReference; session: Session }>
  /**
   * Ends the oldest sessions of a user who exceeds the limit since `newest` began.
   * @returns those that were ended. Without their cookies only their identifiers are known
   */
  limit(newest: Session): Promise<Pick<Session, 'id'>[]>
  /** Opens the session that a cookie refers to, and extends its idle timeout unless `slide` is false. */
  open(reference: SessionReference, options?: { slide?: boolean }): Promise<Session | undefined>
  /**
   * The same without waiting, if the store has the record at hand and the idle timeout need not be extended yet.
   * @returns undefined otherwise: call `open`
   */
  openNow(reference: SessionReference): Session | undefined
  /** The session as it is stored now, or undefined if it has ended. */
  reload(session: Session): Promise<Session | undefined>
  /**
   * Seals a record with renewed tokens. The returned function writes it by compare-and-set over the session's
   * version. It can be called again if the store did not answer: it recognises its own earlier write.
   */
  renewal(session: Session, renewed: SessionRecord): () => Promise<StoreTokensOutcome>
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
  ): Promise<FollowedEnd | undefined>
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
}

export function createSessions(options: SessionsOptions): Sessions {
  const { store, clock, clientId, idleTimeoutMs, lifetimeMs, maxPerUser } = options
  // Extends the idle timeout at most once a minute; more often for short idle timeouts.
  const slideEveryMs = Math.min(60_000, idleTimeoutMs / 4)
  const unsealLatest = createLatestUnsealer(sessionRecord)
  const locate = createLocator()

  return {
    async begin(login) {
      const reference = { id: randomToken(), key: randomToken() }
      const id = hash(reference.id)
      const key = Buffer.from(reference.key, 'base64url')
      const record: SessionRecord = { ...login, createdAt: clock.now(), renewals: 0 }
      const ttlMs = timeToLive(record)
      await store.create(id, {
        sealed: seal(record, { key, id, version: 1 }),
        ttlMs,
        indexes: [
          subjectIndex(login.issuer, clientId, login.subject),
          sidIndex(login.issuer, clientId, login.sid),
        ],
      })
      const expiresAt = clock.now() + ttlMs
      return {
        reference,
        session: new OpenSession({ id, key, record, version: 1, expiresAt, format: newestFormat }),
      }
    },

    async limit({ id, record }) {
      if (maxPerUser === undefined) return []
      const ended = await store.trim(
        subjectIndex(record.issuer, clientId, record.subject),
        maxPerUser,
        id,
        'evicted_by_user_limit',
      )
      return ended.map((each) => ({ id: each }))
    },

    async open(reference, { slide = true } = {}) {
      const { id, key } = locate(reference)
      const session = await load(id, key)
      return session && slide ? keepAlive(session) : session
    },

    openNow(reference) {
      const { id, key } = locate(reference)
      const stored = store.peek(id)
      const session = stored && sessionOf(stored, id, key)
      return session && !isSlideDue(session) ? session : undefined
    },

    reload: ({ id, key }) => load(id, key),

    renewal(session, record) {
      const { id, key, version, format } = session
      const sealed = seal(record, { key, id, version: version + 1 }, format)
      return async () => {
        const result = await store.replace(id, sealed, version)
        return result.outcome === 'replaced'
          ? {
              outcome: 'stored',
              session: new OpenSession({ ...session, record, version: result.version }),
            }
          : result
      }
    },

    async end({ id, key, version }, { onlyThisVersion = false, reason } = {}) {
      const last = await store.destroy(id, onlyThisVersion ? version : undefined, reason)
      return last && sessionRecord(unseal(last.sealed, { key, id, version: last.version }))
    },

    follow: (session, signal, onChanged) =>
      follow(session, {
        store,
        clock,
        lifetimeMs,
        reload: ({ id, key }) => load(id, key),
        signal,
        onChanged,
      }),
  }

  async function load(id: string, key: Buffer): Promise<Session | undefined> {
    const stored = await store.read(id)
    return stored && sessionOf(stored, id, key)
  }

  function sessionOf(stored: StoredRecord, id: string, key: Buffer): Session | undefined {
    const unsealed = unsealLatest(stored, key, id)
    if (!unsealed) return undefined
    const { record } = unsealed
    const lifetimeLeftMs = record.createdAt + lifetimeMs - clock.now()
    if (lifetimeLeftMs <= 0) return undefined
    const expiresAt = clock.now() + Math.min(stored.ttlMs, lifetimeLeftMs)
    const format = formatOf(stored.sealed) ?? newestFormat
    return new OpenSession({ id, key: unsealed.key, record, version: stored.version, expiresAt, format })
  }

  async function keepAlive(session: Session): Promise<Session> {
    if (!isSlideDue(session)) return session
    const ttlMs = timeToLive(session.record)
    const expiresAt = clock.now() + ttlMs
    await store.touch(session.id, ttlMs)
    return new OpenSession({ ...session, expiresAt })
  }

  function isSlideDue({ record, expiresAt }: Session): boolean {
    return clock.now() + timeToLive(record) - expiresAt >= slideEveryMs
  }

  function timeToLive(record: SessionRecord): number {
    return Math.min(idleTimeoutMs, record.createdAt + lifetimeMs - clock.now())
  }
}

/** `toJSON` hides the tokens, so a session sent to a browser by mistake leaks none. */
class OpenSession implements Session {
  readonly id: string
  readonly key: Buffer
  readonly record: SessionRecord
  readonly version: number
  readonly expiresAt: number
  readonly format: SealFormat

  constructor({ id, key, record, version, expiresAt, format }: Session) {
    this.id = id
    this.key = key
    this.record = record
    this.version = version
    this.expiresAt = expiresAt
    this.format = format
  }

  toJSON() {
    return sessionInfo(this)
  }
}

interface Located {
  /** Of the session in the store. */
  id: string
  key: Buffer
  /** As the cookie has it. */
  cookieKey: string
}

/** Number of references whose hashes are remembered, some 400 bytes each. */
const maxLocated = 5000

/** Where a cookie's session is stored. The same cookies come again and again, and hashing has its price. */
function createLocator(): (reference: SessionReference) => Located {
  const located = new LRUCache<string, Located>({ max: maxLocated })
  return (reference) => {
    const known = located.get(reference.id)
    if (known?.cookieKey === reference.key) return known
    // Unpooled: a small pooled buffer would keep a 64 KiB pool alive.
    const key = Buffer.alloc(keyBytes)
    key.write(reference.key, 'base64url')
    const found = { id: hash(reference.id), key, cookieKey: reference.key }
    located.set(reference.id, found)
    return found
  }
}

const keyBytes = 32

/** Validates the content of a session cookie. */
export function readReference({ id, key }: Record<string, unknown>): SessionReference | undefined {
  return isRandomToken(id) && isRandomToken(key) ? { id, key } : undefined
}

/** Identifies a session in logs: the first 16 bytes of its hash. Reveals neither the cookie nor the store key. */
export function sessionHash({ id }: Pick<Session, 'id'>): string {
  return Buffer.from(id, 'base64url').subarray(0, 16).toString('base64url')
}

/** Name of the index of all sessions of a user at one client of the issuer. */
export function subjectIndex(issuer: string, clientId: string, subject: string): string {
  return hash(JSON.stringify(['sub', issuer, clientId, subject]))
}

/** Name of the index of one client's sessions that belong to the same session of the issuer. */
export function sidIndex(issuer: string, clientId: string, sid: string): string {
  return hash(JSON.stringify(['sid', sidIssuer(issuer), clientId, sid]))
}

function hash(text: string): string {
  return digest('sha256', text, 'base64url')
}

function randomToken(): string {
  return randomBytes(32).toString('base64url')
}

function isRandomToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{43}$/.test(value)
}
