import { createHmac } from 'node:crypto'
import { type AddressedRequest, clientAddress } from '../../http/client-address.ts'
import { isNumber, isObject, isString, isUnsetOr } from '../../lib/type-guards.ts'
import { deriveKeys, seal, unseal } from './sealing.ts'

/** What lists of sessions show of a session. Stored beside its record and readable without its cookie: no token. */
export interface SessionProfile extends SessionClient {
  /** Milliseconds since the epoch, to about a minute. */
  lastUsedAt: number
  /** Whether it is bound to a device. Unset: not. */
  bound?: boolean
  /** The session that the login of this one ended, because the user had too many. */
  endedByLimit?: EndedByLimit
}

/** The browser of a session, as its latest request describes it. */
export interface SessionClient {
  userAgent?: string | undefined
  /** IP address. */
  address?: string | undefined
}

/** A session that was ended because its user had too many. Times are milliseconds since the epoch. */
export interface EndedByLimit extends SessionClient {
  createdAt?: number | undefined
  lastUsedAt?: number | undefined
  endedAt: number
}

/** Longer user agents are cut: a profile is written once a minute, and each byte is stored for each session. */
const maxUserAgent = 200

export function sessionClient(
  request: AddressedRequest & { headers: { 'user-agent'?: string | undefined } },
): SessionClient {
  const { 'user-agent': userAgent } = request.headers
  return { userAgent: userAgent?.slice(0, maxUserAgent), address: clientAddress(request) }
}

export interface SessionProfiles {
  seal(id: string, profile: SessionProfile): Buffer
  /** @returns undefined for a profile that was sealed for another session, with other keys, or not at all */
  open(id: string, sealed: Buffer | undefined): SessionProfile | undefined
}

/**
 * Seals profiles with keys from SESSION_KEYS: the record is sealed with a key that only its cookie contains. Each
 * session has its own key, so a profile that was moved to another session does not open.
 *
 * @param keys the first seals, all open
 */
export function createSessionProfiles(keys: Buffer[]): SessionProfiles {
  const ownKeys = deriveKeys(keys, 'session profile')
  const [newest] = ownKeys

  return {
    seal: (id, profile) => seal(profile, sealedFor(newest, id)),

    open(id, sealed) {
      if (!sealed) return undefined
      for (const key of ownKeys) {
        const profile = unseal(sealed, sealedFor(key, id))
        if (isSessionProfile(profile)) return profile
      }
      return undefined
    },
  }

  function sealedFor(key: Buffer, id: string) {
    return { key: createHmac('sha256', key).update(id).digest(), id, version: 0 }
  }
}

function isSessionProfile(value: unknown): value is SessionProfile {
  if (!isObject(value)) return false
  const { lastUsedAt, bound, endedByLimit } = value
  return (
    isNumber(lastUsedAt) &&
    isSessionClient(value) &&
    (bound === undefined || typeof bound === 'boolean') &&
    (endedByLimit === undefined || isEndedByLimit(endedByLimit))
  )
}

function isEndedByLimit(value: unknown): boolean {
  if (!isObject(value)) return false
  const { createdAt, lastUsedAt, endedAt } = value
  return (
    isNumber(endedAt) &&
    [createdAt, lastUsedAt].every((time) => isUnsetOr(isNumber, time)) &&
    isSessionClient(value)
  )
}

function isSessionClient({ userAgent, address }: Record<string, unknown>): boolean {
  return [userAgent, address].every((text) => isUnsetOr(isString, text))
}
