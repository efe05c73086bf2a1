import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { GatewayError } from '../errors/catalogue.ts'

/** Whose sessions an issuer asks to end. */
export type LogoutNotice = {
  issuer: string
  /** Names the token, so that it is heeded once. */
  jti: string
} & ({ sid: string } | { subject: string })

export interface LogoutTokenRules {
  issuer: string
  clientId: string
  keys: JWTVerifyGetKey
  /** Those that the issuer signs ID tokens with. */
  algorithms: string[]
  /** Milliseconds since the epoch. */
  now: number
}

/** A logout token that must not be heeded. */
export class LogoutTokenError extends Error {
  readonly code = 'LOGOUT_TOKEN_INVALID'
}

const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'
/** How far the issuer's clock may be from ours. */
const clockToleranceSeconds = 30
/** How old a notice may be, whatever it says of its own life. */
const maxAgeSeconds = 10 * 60
/** The same where it says nothing of it. Hydra, LemonLDAP and older versions of Keycloak and authentik send no `exp`. */
const maxAgeWithoutExpirySeconds = 2 * 60

/** How long a token must be remembered not to be good again, by the clock of any gateway, in milliseconds. */
export const logoutTokenLifetimeMs = 15 * 60_000

/**
 * Checks a logout token. An ID token is none: it has no event, and a logout token must have no `nonce`, so that
 * neither passes for the other.
 *
 * @throws LogoutTokenError
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE when the issuer's keys can't be had
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
 */
export async function verifyLogoutToken(token: string, rules: LogoutTokenRules): Promise<LogoutNotice> {
  const { payload, protectedHeader } = await jwtVerify(token, rules.keys, {
    issuer: rules.issuer,
    audience: rules.clientId,
    algorithms: rules.algorithms,
    requiredClaims: ['iat', 'jti', 'events'],
    clockTolerance: clockToleranceSeconds,
    maxTokenAge: maxAgeSeconds,
    currentDate: new Date(rules.now),
  }).catch((cause: unknown) => {
    if (isAboutToken(cause)) throw fault('does not hold', cause)
    throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { cause })
  })
  // Not every issuer says what it is; one that says something else means something else.
  const { typ } = protectedHeader
  if (typ !== undefined && !/^(application\/)?(logout\+jwt|jwt)$/i.test(typ)) throw fault('has another type')
  if (payload.exp === undefined && isOlderThan(maxAgeWithoutExpirySeconds, payload, rules.now))
    throw fault('does not expire and is not new')
  return notice(payload, rules.issuer)
}

function isOlderThan(seconds: number, { iat = 0 }: JWTPayload, now: number): boolean {
  return Math.floor(now / 1000) - iat > seconds
}

/** Unlike an error of the fetch itself, or jose's words for a key set that did not come or is none. */
function isAboutToken(error: unknown): boolean {
  const aboutKeys = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID']
  return error instanceof errors.JOSEError && !aboutKeys.includes(error.code)
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
