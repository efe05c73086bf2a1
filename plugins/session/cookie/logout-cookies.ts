import type { CookieSerializeOptions } from '@fastify/cookie'
import { loginLifetimeMs } from '../../../http/limits.ts'
import type { CookieReply, CookieRequest } from './messages.ts'
import type { CookieSealer } from './secure-session.ts'

/** What a logout leaves in the browser. */
export interface LogoutCookies {
  /** The logout under way at the issuer, if any. */
  logout(request: CookieRequest): Logout | undefined
  setLogout(reply: CookieReply, logout: Logout): void
  clearLogout(reply: CookieReply): void
  /** Whether the user has logged out here, but is still signed in at an issuer that has no logout. */
  hasLoggedOutHere(request: CookieRequest): boolean
  setLoggedOutHere(reply: CookieReply): void
  clearLoggedOutHere(request: CookieRequest, reply: CookieReply): void
}

/** A logout under way at the issuer. */
export interface Logout {
  state: string
  /** Validated, as `keepReturnUrl` makes it of the URL. */
  returnUrl: string
}

export interface LogoutCookieOptions {
  sessionCookieName: string
  /** Attributes of the cookie for the return from the issuer. */
  attributes: CookieSerializeOptions
  loggedOutAttributes: CookieSerializeOptions
}

/** Longer than sessions at issuers usually last. */
const loggedOutMaxAge = 30 * 24 * 60 * 60

export function createLogoutCookies(
  sealer: CookieSealer,
  { sessionCookieName, attributes, loggedOutAttributes }: LogoutCookieOptions,
): LogoutCookies {
  const logoutName = `${sessionCookieName}-logout`
  const loggedOutName = `${sessionCookieName}-logged-out`

  return {
    logout(request) {
      const value = request.cookies[logoutName]
      const cookie = value ? sealer.decodeSecureSession(value, request.log, 'sealedLogout') : null
      return cookie ? readLogout(cookie.data()) : undefined
    },

    setLogout(reply, logout) {
      const sealed = sealer.encodeSecureSession(sealer.createSecureSession({ ...logout }), 'sealedLogout')
      reply.setCookie(logoutName, sealed, { ...attributes, maxAge: loginLifetimeMs / 1000 })
    },

    clearLogout: (reply) => void reply.clearCookie(logoutName, attributes),

    // Not sealed: someone who sets it only makes the issuer ask for a password.
    hasLoggedOutHere: (request) => request.cookies[loggedOutName] === '1',

    setLoggedOutHere(reply) {
      reply.setCookie(loggedOutName, '1', { ...loggedOutAttributes, maxAge: loggedOutMaxAge })
    },

    clearLoggedOutHere(request, reply) {
      if (request.cookies[loggedOutName] !== undefined) reply.clearCookie(loggedOutName, loggedOutAttributes)
    },
  }
}

function readLogout({ state, returnUrl }: Record<string, unknown>): Logout | undefined {
  return typeof state === 'string' && typeof returnUrl === 'string' ? { state, returnUrl } : undefined
}
