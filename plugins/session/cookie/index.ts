import cookie, { type CookieSerializeOptions } from '@fastify/cookie'
import fp from 'fastify-plugin'
import { loginLifetimeMs } from '../../../http/limits.ts'
import { deriveKeys } from '../sealing.ts'
import { cacheDecryptedCookies } from './decrypted-cookies.ts'
import { createLogoutCookies, type LogoutCookies } from './logout-cookies.ts'
import {
  type CookieSealer,
  type SealedCookie,
  type SecureSessionOptions,
  secureSession,
} from './secure-session.ts'
import { createSessionCookie, type SessionCookie } from './session-cookie.ts'
import { createTransactionCookies, type TransactionCookies } from './transaction-cookies.ts'

declare module 'fastify' {
  interface FastifyInstance extends CookieSealer {
    /** The gateway's cookies. */
    browserCookies: BrowserCookies
  }
  interface FastifyRequest {
    sealedSession: SealedCookie | null
    changesSessionCookie: boolean
  }
}

export type BrowserCookies = SessionCookie & TransactionCookies & LogoutCookies

export interface SessionCookieOptions {
  name: string
  sameSite: 'strict' | 'lax' | 'none'
  secure: boolean
  /** Whether pages of other origins may call this gateway. */
  hasForeignPages: boolean
  /** The first encrypts, all decrypt. */
  keys: Buffer[]
  lifetimeMs: number
}

export default fp<SessionCookieOptions>(
  async (app, { name, sameSite, secure, hasForeignPages, keys, lifetimeMs }) => {
    const base: CookieSerializeOptions = { path: '/', httpOnly: true, secure }
    // Callbacks are navigations from the issuer's site, with which a Strict cookie is not sent.
    const lax: CookieSerializeOptions = { ...base, sameSite: 'lax' }
    // A silent login of a page on another site must find it, too, or it would sign the user in again.
    const loggedOutAttributes: CookieSerializeOptions =
      secure && (hasForeignPages || sameSite === 'none') ? { ...base, sameSite: 'none' } : lax
    const sealed: SecureSessionOptions[] = [
      {
        sessionName: 'sealedSession',
        cookieName: name,
        key: deriveKeys(keys, 'session cookie'),
        expiry: lifetimeMs / 1000,
        cookie: { ...base, sameSite, maxAge: Math.floor(lifetimeMs / 1000) },
      },
      // The names of the other two are not those of the cookies: secure-session would open them on every request.
      {
        sessionName: 'sealedTransaction',
        cookieName: `${name}-tx`,
        key: deriveKeys(keys, 'login transaction cookie'),
        expiry: loginLifetimeMs / 1000,
        cookie: lax,
      },
      {
        sessionName: 'sealedLogout',
        cookieName: `${name}-logout-sealed`,
        key: deriveKeys(keys, 'logout cookie'),
        expiry: loginLifetimeMs / 1000,
        cookie: lax,
      },
    ]
    app.decorateRequest('changesSessionCookie', false)
    // Must run before secure-session's own hook, which re-sets a cookie that an older key has decrypted on every
    // response. On an upstream's response that took minutes, that would overwrite the cookie of a newer session.
    // Responses with 5xx (store or issuer unavailable) don't change the cookie either.
    app.addHook('onSend', (request, { statusCode }, payload, done) => {
      if (request.sealedSession && !(request.changesSessionCookie && statusCode < 500))
        request.sealedSession.changed = false
      done(null, payload)
    })
    // The application may have registered it already.
    if (!app.hasPlugin('@fastify/cookie')) await app.register(cookie)
    await app.register(secureSession, sealed)
    cacheDecryptedCookies(app, 'sealedSession', lifetimeMs / 1000)

    app.decorate('browserCookies', {
      ...createSessionCookie(app, name),
      ...createTransactionCookies(app, name, lax),
      ...createLogoutCookies(app, { sessionCookieName: name, attributes: lax, loggedOutAttributes }),
    } satisfies BrowserCookies)
  },
  { name: 'session-cookie', fastify: '5.x' },
)
