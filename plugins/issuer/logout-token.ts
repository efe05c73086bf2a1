import { type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { isObject } from '../../lib/type-guards.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { isAboutToken, withEachKey } from './verify-jwt.ts'

/** A verified logout token: which sessions to end. */
export type LogoutNotice = {
  issuer: string
  /** Identifies the token, so that it is accepted only once. */
  jti: string
} & ({ sid: string } | { subject: string })

export interface LogoutTokenRules {
  issuer: string
  clientId: string
  keys: JWTVerifyGetKey
  /** Allowed signature algorithms: those of the issuer's ID tokens. */
  algorithms: string[]
  /** Milliseconds since the epoch. */
  now: number
  /** Accepted difference between the issuer's clock and ours. */
  clockToleranceMs: number
}

/** The logout token is not valid. */
export class LogoutTokenError extends Error {
  readonly code = 'LOGOUT_TOKEN_INVALID'
}

const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'
/** Maximum age of a logout token, whatever its `exp`. */
const maxAgeSeconds = 10 * 60
/** Maximum age of one without `exp`. Hydra, LemonLDAP and older versions of Keycloak and authentik send no `exp`. */
const maxAgeWithoutExpirySeconds = 2 * 60

/** How long a used token is remembered against replay, in milliseconds. Includes clock differences between gateways. */
export const logoutTokenLifetimeMs = 15 * 60_000

/**
 * Verifies a logout token. Rejects an ID token: it has no logout event, and a logout token must have no `nonce`, so
 * neither can be used as the other.
 *
 * @throws LogoutTokenError
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE when the issuer's keys can't be fetched
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
 */
export async function verifyLogoutToken(token: string, rules: LogoutTokenRules): Promise<LogoutNotice> {
  const options = {
    issuer: rules.issuer,
    audience: rules.clientId,
    algorithms: rules.algorithms,
    requiredClaims: ['iat', 'jti', 'events'],
    clockTolerance: rules.clockToleranceMs / 1000,
    maxTokenAge: maxAgeSeconds,
    currentDate: new Date(rules.now),
  }
  const verification = withEachKey(rules.keys, (key) => jwtVerify(token, key, options))
  const { payload, protectedHeader } = await verification.catch((cause: unknown) => {
    if (isAboutToken(cause)) throw fault('does not hold', cause)
    throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { cause })
  })
  // `typ` is optional, but if it is set it must be right.
  const { typ } = protectedHeader
  if (typ !== undefined && !/^(application\/)?(logout\+jwt|jwt)$/i.test(typ)) throw fault('has another type')
  if (payload.exp === undefined && isOlderThan(maxAgeWithoutExpirySeconds, payload, rules.now))
    throw fault('does not expire and is not new')
  return notice(payload, rules.issuer)
}

function isOlderThan(seconds: number, { iat = 0 }: JWTPayload, now: number): boolean {
  return Math.floor(now / 1000) - iat > seconds
}

function notice({ sub, sid, jti, nonce, events }: JWTPayload, issuer: string): LogoutNotice {
  if (nonce !== undefined) throw fault('has a nonce')
  if (!isObject(events) || !isObject(events[logoutEvent])) throw fault('is about no logout')
  if (typeof jti !== 'string' || jti === '') throw fault('has no jti')
  const isNamed = [sid, sub].every((name) => name === undefined || (typeof name === 'string' && name !== ''))
  if (isNamed && typeof sid === 'string') return { issuer, jti, sid }
  if (isNamed && typeof sub === 'string') return { issuer, jti, subject: sub }
  throw fault('names neither sid nor sub')
}

function fault(what: string, cause?: unknown): LogoutTokenError {
  return new LogoutTokenError(`The logout token ${what}`, { cause })
}
