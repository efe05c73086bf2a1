import { isNumber, isObject, isString, isUnsetOr } from '../../lib/type-guards.ts'
import {
  type AccessToken,
  accessTokenFrom,
  type GrantedTokens,
  isAccessToken,
  isTokenSet,
  type TokenSet,
  type TokenTarget,
  tokenSetFrom,
} from '../issuer/token-set.ts'
import { type BoundDevice, isBoundDevice } from './device-key.ts'

/**
 * The stored data of a session, sealed. Times are milliseconds since the epoch. Unknown fields, added by a newer
 * gateway, are preserved.
 */
export interface SessionRecord {
  issuer: string
  /** The issuer's `sub`. */
  subject: string
  /** The issuer's `sid`, or a random one if it sends none. */
  sid: string
  /** Claims of the ID token and UserInfo, without protocol claims. */
  claims: Record<string, unknown>
  /** @see https://openid.net/specs/openid-connect-session-1_0.html#CreatingUpdatingSessions */
  sessionState?: string
  createdAt: number
  tokenSet: TokenSet
  renewals: number
  renewedAt?: number
  /** Number of consecutive grants refused with an ambiguous error. Unset: none. */
  refusals?: number
  /** The user's additional tokens for APIs, by {@link TokenTarget.key}. */
  apiTokens?: Record<string, ApiToken>
  /** The device that the session is bound to. Gateways of earlier releases keep it, but demand no proof. */
  device?: BoundDevice
}

export interface ApiToken extends AccessToken {
  /** Number of grants so far. */
  renewals: number
  renewedAt: number
}

/** Validates an unsealed value: an older or newer gateway, or a bug, may have sealed something else. */
export function sessionRecord(value: unknown): SessionRecord | undefined {
  return isSessionRecord(value) ? value : undefined
}

function isSessionRecord(value: unknown): value is SessionRecord {
  if (!isObject(value)) return false
  const {
    issuer,
    subject,
    sid,
    claims,
    sessionState,
    createdAt,
    tokenSet,
    renewals,
    renewedAt,
    apiTokens,
    device,
  } = value
  return (
    [issuer, subject, sid].every(isString) &&
    isObject(claims) &&
    isUnsetOr(isString, sessionState) &&
    [createdAt, renewals].every(isNumber) &&
    isUnsetOr(isNumber, renewedAt) &&
    isTokenSet(tokenSet) &&
    isUnsetOr(isBoundDevice, device) &&
    (apiTokens === undefined || (isObject(apiTokens) && Object.values(apiTokens).every(isApiToken)))
  )
}

function isApiToken(value: unknown): value is ApiToken {
  return isAccessToken(value) && [value['renewals'], value['renewedAt']].every(isNumber)
}

/** An access token in a record, and when it was last renewed. */
export type HeldToken = AccessToken & Pick<SessionRecord, 'renewals' | 'renewedAt'>

/** The access token for `target`; without a target, the session's own. */
export function heldToken(
  { tokenSet, renewals, renewedAt, apiTokens }: SessionRecord,
  target: TokenTarget | undefined,
): HeldToken | undefined {
  if (target) return apiTokens?.[target.key]
  return { ...tokenSet, renewals, ...(renewedAt !== undefined && { renewedAt }) }
}

/** Whether the token for `target` was renewed between `seen` and `current`. */
export function isRenewedSince(
  seen: SessionRecord,
  current: SessionRecord,
  target: TokenTarget | undefined,
): boolean {
  return heldToken(current, target)?.renewals !== heldToken(seen, target)?.renewals
}

/**
 * The token that a grant for `target` needs: access token for an exchange, else refresh token. Undefined if there is
 * none.
 */
export function grantCredential(
  { tokenSet }: SessionRecord,
  target: TokenTarget | undefined,
): string | undefined {
  return target?.grant === 'exchange' ? tokenSet.accessToken : tokenSet.refreshToken
}

/**
 * The record after a grant.
 * @param target target of the access token. Unset: it is the session's own.
 */
export function recordAfter(
  { refusals: _, ...record }: SessionRecord,
  granted: GrantedTokens,
  { requestedAt, now, target }: { requestedAt: number; now: number; target?: TokenTarget | undefined },
): SessionRecord {
  const { tokenSet, apiTokens } = record
  if (!target) {
    const renewed = tokenSetFrom(granted, requestedAt, tokenSet)
    return { ...record, tokenSet: renewed, renewals: record.renewals + 1, renewedAt: now }
  }
  const { refreshToken = tokenSet.refreshToken, idToken = tokenSet.idToken } = granted
  const dpopKey = tokenSet.dpopKey ?? granted.dpopKey
  const renewals = (apiTokens?.[target.key]?.renewals ?? 0) + 1
  const apiToken: ApiToken = { ...accessTokenFrom(granted, requestedAt), renewals, renewedAt: now }
  return {
    ...record,
    tokenSet: {
      ...tokenSet,
      ...(refreshToken !== undefined && { refreshToken }),
      ...(idToken !== undefined && { idToken }),
      ...(dpopKey && { dpopKey }),
    },
    apiTokens: { ...withoutExpired(apiTokens, now), [target.key]: apiToken },
  }
}

/**
 * API tokens are dropped this long after expiry, so that a record does not grow forever. No request waits that long.
 */
const forgetAfterMs = 3_600_000

function withoutExpired(apiTokens: Record<string, ApiToken> = {}, now: number): Record<string, ApiToken> {
  const entries = Object.entries(apiTokens)
  return Object.fromEntries(entries.filter(([, { expiresAt = now }]) => now - expiresAt < forgetAfterMs))
}

/** The user's name, for logs and pages. */
export function displayName({ claims, subject }: SessionRecord): string {
  const names = [claims['name'], claims['preferred_username'], claims['email']]
  return names.find((name): name is string => typeof name === 'string' && name !== '') ?? subject
}

/** Maximum length of a name in a log line. */
const maxLogName = 200

/** {@link displayName}, truncated: an issuer may send a name of a megabyte. */
export function logName(record: SessionRecord): string {
  const name = displayName(record)
  return name.length > maxLogName ? `${name.slice(0, maxLogName - 1)}…` : name
}
