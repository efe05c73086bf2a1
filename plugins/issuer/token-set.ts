import { decodeJwt } from 'jose'
import { isNumber, isObject, isString, isUnsetOr } from '../../lib/type-guards.ts'
import { type DpopKey, isDpopKey } from './dpop/key.ts'

/** A stored access token. Times are milliseconds since the epoch. */
export interface AccessToken {
  accessToken: string
  tokenType: string
  /** The key that the token is bound to, and the refresh token with it. Unset: none. */
  dpopKey?: DpopKey
  /** Unset: unknown, so the token is used until an upstream refuses it. */
  expiresAt?: number
  obtainedAt: number
  scope?: string
}

/** The tokens of one session. */
export interface TokenSet extends AccessToken {
  refreshToken?: string
  idToken?: string
}

/** The tokens of one token response, before they are merged into a token set. */
export interface GrantedTokens {
  accessToken: string
  tokenType: string
  /** The key that they are bound to, if `tokenType` is `DPoP`. */
  dpopKey?: DpopKey
  expiresInMs?: number
  refreshToken?: string
  idToken?: string
  /** An ID token whose signature could not be checked. Shows whose tokens these claim to be, and is never stored. */
  uncheckedIdToken?: string
  scope?: string
}

/** Whether an unsealed value is an access token. It may have further members. */
export function isAccessToken(value: unknown): value is AccessToken & Record<string, unknown> {
  if (!isObject(value)) return false
  const { accessToken, tokenType, dpopKey, expiresAt, obtainedAt, scope } = value
  return (
    [accessToken, tokenType].every(isString) &&
    isNumber(obtainedAt) &&
    isUnsetOr(isDpopKey, dpopKey) &&
    isUnsetOr(isNumber, expiresAt) &&
    isUnsetOr(isString, scope)
  )
}

/** Whether an unsealed value is a token set. */
export function isTokenSet(value: unknown): value is TokenSet {
  return (
    isAccessToken(value) &&
    [value['refreshToken'], value['idToken']].every((token) => isUnsetOr(isString, token))
  )
}

/**
 * The access token of a token response.
 *
 * @param requestedAt when the grant was requested. The lifetime counts from then, so that a slow answer never makes
 *   a token look younger than it is.
 */
export function accessTokenFrom(granted: GrantedTokens, requestedAt: number): AccessToken {
  const { accessToken, tokenType, dpopKey, expiresInMs, scope } = granted
  const stated = expiresInMs === undefined ? undefined : requestedAt + expiresInMs
  const expiresAt = [stated, jwtExpiry(accessToken)].find(isTime)
  return {
    accessToken,
    tokenType,
    ...(dpopKey && { dpopKey }),
    obtainedAt: requestedAt,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(scope !== undefined && { scope }),
  }
}

/**
 * The token set after a grant. What the issuer omits stays as it was: the refresh token and scope
 * (RFC 6749 sections 5.1 and 6), the ID token (OpenID Connect Core section 12.2). So does the key.
 */
export function tokenSetFrom(granted: GrantedTokens, requestedAt: number, previous?: TokenSet): TokenSet {
  const refreshToken = granted.refreshToken ?? previous?.refreshToken
  const idToken = granted.idToken ?? previous?.idToken
  const scope = granted.scope ?? previous?.scope
  const dpopKey = granted.dpopKey ?? previous?.dpopKey
  return {
    ...accessTokenFrom(granted, requestedAt),
    ...(dpopKey && { dpopKey }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
    ...(scope !== undefined && { scope }),
  }
}

/** Whether it is a valid date. Some issuers send a number beyond all dates for "never". */
function isTime(milliseconds: number | undefined): milliseconds is number {
  return milliseconds !== undefined && !Number.isNaN(new Date(milliseconds).getTime())
}

/** The `exp` of a JWT access token in milliseconds, or undefined if it is opaque or has none. */
function jwtExpiry(accessToken: string): number | undefined {
  try {
    // Read whatever the token's `typ`. It is only a hint about the lifetime: the gateway does not verify access tokens.
    const { exp }: { exp?: unknown } = decodeJwt(accessToken)
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}

/** Parameters of a token request. The issuer decides about those that are unset. */
export interface TokenParameters {
  /** Space-separated. */
  scope?: string
  /** @see https://www.rfc-editor.org/rfc/rfc8707 */
  resource?: string
  /** The API, as in RFC 8693; some issuers accept it in other grants too. */
  audience?: string
}

/** Any object with {@link TokenParameters}, such as the options of an upstream. */
export type Described = { [Name in keyof TokenParameters]?: string | undefined }

/** An additional token of the user for one API, besides the session's own. */
export interface TokenTarget {
  /** Key in the session record's `apiTokens`. */
  key: string
  /** `refresh`: with the session's refresh token. `exchange`: token exchange with its access token (RFC 8693). */
  grant: 'refresh' | 'exchange'
  parameters: TokenParameters
}

/** @returns undefined for the session's own token */
export function tokenTarget(wanted: TokenParameters & { exchange?: boolean }): TokenTarget | undefined {
  const parameters = tokenParameters(wanted)
  const { exchange = false } = wanted
  if (!exchange && Object.keys(parameters).length === 0) return undefined
  const grant = exchange ? 'exchange' : 'refresh'
  return { key: `${grant} ${new URLSearchParams({ ...parameters })}`, grant, parameters }
}

/** Those that are set, always in the same order. */
export function tokenParameters({ scope, resource, audience }: Described): TokenParameters {
  return {
    ...(scope !== undefined && { scope }),
    ...(resource !== undefined && { resource }),
    ...(audience !== undefined && { audience }),
  }
}
