import cookie, { type CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { cookieValues } from '../../../http/cookies.ts'
import {
  isTransactionCookie,
  type LoginTransaction,
  maxOpenTransactions,
  maxTransactionBytes,
  readTransaction,
  transactionCookieName,
} from '../../login/login-transaction.ts'
import { deriveKeys } from '../sealing.ts'
import { readReference, type SessionReference } from '../sessions.ts'
import { transactionLifetimeMs } from '../superseded-session.ts'
import { rememberOpened } from './remember-opened.ts'
import { type SealedCookie, type SecureSessionOptions, secureSession } from './secure-session.ts'

declare module 'fastify' {
  interface FastifyInstance {
    createSecureSession(data: object): SealedCookie
    decodeSecureSession(value: string, log: unknown, sessionName: string): SealedCookie | null
    encodeSecureSession(cookie: SealedCookie, sessionName: string): string
    /** The gateway's cookies, all encrypted. */
    browserCookies: BrowserCookies
  }
  interface FastifyRequest {
    sealedSession: SealedCookie | null
    /** Whether the response may set or clear the session cookie. Set by the methods of {@link BrowserCookies}. */
    changesSessionCookie: boolean
  }
}

export interface BrowserCookies {
  /** Undefined if there is no cookie, or it can't be decrypted: tampered with, foreign or expired. */
  sessionReference(request: FastifyRequest): SessionReference | undefined
  setSessionReference(request: FastifyRequest, reference: SessionReference): void
  clearSession(request: FastifyRequest): void
  /** Whether the cookie was encrypted with an old key (key rotation). */
  isOutdated(request: FastifyRequest): boolean
  /** Encrypts an outdated cookie with the current key. */
  resealSession(request: FastifyRequest): void
  transaction(request: FastifyRequest, state: string): LoginTransaction | undefined
  /** All transactions that are open in this browser. */
  transactions(request: FastifyRequest): LoginTransaction[]
  /** Also drops the oldest transactions if there are too many. */
  setTransaction(request: FastifyRequest, reply: FastifyReply, transaction: LoginTransaction): void
  clearTransaction(reply: FastifyReply, transaction: LoginTransaction): void
  /** The logout under way at the issuer, if any. */
  logout(request: FastifyRequest): Logout | undefined
  setLogout(reply: FastifyReply, logout: Logout): void
  clearLogout(reply: FastifyReply): void
  /** Whether the user has logged out here, but is still signed in at an issuer that has no logout. */
  hasLoggedOutHere(request: FastifyRequest): boolean
  setLoggedOutHere(reply: FastifyReply): void
  clearLoggedOutHere(request: FastifyRequest, reply: FastifyReply): void
  /** Updates the other logins under way in this browser: when they succeed, they replace this session. */
  replaceByOthers(
    request: FastifyRequest,
    reply: FastifyReply,
    transaction: LoginTransaction,
    reference: SessionReference,
  ): void
}

/** A logout under way at the issuer. */
export interface Logout {
  state: string
  /** Validated, as `keepReturnUrl` makes it of the URL. */
  returnUrl: string
}

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

/** Longer than sessions at issuers usually last. */
const loggedOutMemorySeconds = 30 * 24 * 60 * 60

export default fp<SessionCookieOptions>(
  async (app, { name, sameSite, secure, hasForeignPages, keys, lifetimeMs }) => {
    const base: CookieSerializeOptions = { path: '/', httpOnly: true, secure }
    // Lax: callbacks are navigations from the issuer's site, with which a Strict cookie is not sent.
    const transactionCookie: CookieSerializeOptions = { ...base, sameSite: 'lax' }
    // A silent login of a page on another site must find it, too, or it would sign the user in again.
    const loggedOutCookie: CookieSerializeOptions =
      secure && (hasForeignPages || sameSite === 'none') ? { ...base, sameSite: 'none' } : transactionCookie
    const logoutCookieName = `${name}-logout`
    const loggedOutCookieName = `${name}-logged-out`
    const sealed: SecureSessionOptions[] = [
      {
        sessionName: 'sealedSession',
        cookieName: name,
        key: deriveKeys(keys, 'session cookie'),
        expiry: lifetimeMs / 1000,
        cookie: { ...base, sameSite, maxAge: Math.floor(lifetimeMs / 1000) },
      },
      {
        sessionName: 'sealedTransaction',
        cookieName: `${name}-tx`,
        key: deriveKeys(keys, 'login transaction cookie'),
        expiry: transactionLifetimeMs / 1000,
        cookie: transactionCookie,
      },
      {
        sessionName: 'sealedLogout',
        // Not the cookie's own name: secure-session would open it on every request.
        cookieName: `${logoutCookieName}-sealed`,
        key: deriveKeys(keys, 'logout cookie'),
        expiry: transactionLifetimeMs / 1000,
        cookie: transactionCookie,
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
    rememberOpened(app, 'sealedSession', lifetimeMs / 1000)

    app.decorate('browserCookies', {
      sessionReference(request) {
        if (!mayOccurTwice(request.headers.cookie, name)) return ownReference(request)
        const values = cookieValues(request.headers.cookie, name)
        return values.length > 1 ? singleReference(request, values) : ownReference(request)
      },

      setSessionReference(request, { id, key }) {
        request.changesSessionCookie = true
        request.sealedSession?.set('id', id)
        request.sealedSession?.set('key', key)
      },

      clearSession(request) {
        request.changesSessionCookie = true
        request.sealedSession?.delete()
      },

      isOutdated: (request) => request.sealedSession?.changed === true,

      resealSession(request) {
        request.changesSessionCookie = true
      },

      transaction(request, state) {
        const value = request.cookies[transactionCookieName(name, state)]
        return value === undefined ? undefined : open(request, value)
      },

      transactions: (request) => transactions(request).flatMap(({ transaction }) => transaction ?? []),

      setTransaction(request, reply, transaction) {
        const bytes = keepTransaction(reply, transaction)
        for (const cookieName of surplusTransactions(request, bytes))
          reply.clearCookie(cookieName, transactionCookie)
      },

      clearTransaction(reply, transaction) {
        reply.clearCookie(transactionCookieName(name, transaction.state), attributesOf(transaction))
      },

      logout(request) {
        const value = request.cookies[logoutCookieName]
        const cookie = value ? app.decodeSecureSession(value, request.log, 'sealedLogout') : null
        return cookie ? readLogout(cookie.data()) : undefined
      },

      setLogout(reply, logout) {
        const sealed = app.encodeSecureSession(app.createSecureSession({ ...logout }), 'sealedLogout')
        reply.setCookie(logoutCookieName, sealed, {
          ...transactionCookie,
          maxAge: transactionLifetimeMs / 1000,
        })
      },

      clearLogout: (reply) => void reply.clearCookie(logoutCookieName, transactionCookie),

      // Not sealed: someone who sets it only makes the issuer ask for a password.
      hasLoggedOutHere: (request) => request.cookies[loggedOutCookieName] === '1',

      setLoggedOutHere(reply) {
        reply.setCookie(loggedOutCookieName, '1', { ...loggedOutCookie, maxAge: loggedOutMemorySeconds })
      },

      clearLoggedOutHere(request, reply) {
        if (request.cookies[loggedOutCookieName] !== undefined)
          reply.clearCookie(loggedOutCookieName, loggedOutCookie)
      },

      replaceByOthers(request, reply, { state }, replaces) {
        for (const { transaction } of transactions(request)) {
          if (transaction && transaction.state !== state) keepTransaction(reply, { ...transaction, replaces })
        }
      },
    } satisfies BrowserCookies)

    function ownReference({ sealedSession }: FastifyRequest): SessionReference | undefined {
      return sealedSession
        ? readReference({ id: sealedSession.get('id'), key: sealedSession.get('key') })
        : undefined
    }

    /** @returns size of the cookie in a request, in bytes */
    function keepTransaction(reply: FastifyReply, transaction: LoginTransaction): number {
      const cookieName = transactionCookieName(name, transaction.state)
      const sealed = app.encodeSecureSession(
        // secure-session counts the lifetime from `__ts`, in seconds: re-encrypting does not extend it.
        app.createSecureSession({ ...transaction, __ts: Math.round(transaction.startedAt / 1000) }),
        'sealedTransaction',
      )
      reply.setCookie(cookieName, sealed, {
        ...attributesOf(transaction),
        maxAge: transactionLifetimeMs / 1000,
      })
      return bytesOf(cookieName, sealed)
    }

    /** In a frame the callback is no top-level navigation, and Lax cookies are sent with those only. */
    function attributesOf({ inFrame }: LoginTransaction): CookieSerializeOptions {
      return inFrame && secure ? { ...transactionCookie, sameSite: 'none' } : transactionCookie
    }

    /**
     * A sibling subdomain that can set cookies for our host can inject another user's session cookie before the
     * browser's own. Cookies that can't be decrypted are ignored; with two valid sessions the request counts as
     * anonymous.
     */
    function singleReference(request: FastifyRequest, values: string[]): SessionReference | undefined {
      const cookies = [...new Set(values)].map((value) =>
        app.decodeSecureSession(value, request.log, 'sealedSession'),
      )
      const [reference, ...more] = cookies.flatMap((cookie) => (cookie && readReference(cookie.data())) ?? [])
      return more.length === 0 ? reference : undefined
    }

    function open(request: FastifyRequest, value: string): LoginTransaction | undefined {
      const cookie = app.decodeSecureSession(value, request.log, 'sealedTransaction')
      return cookie ? readTransaction(cookie.data()) : undefined
    }

    /** The request's transaction cookies, including those that can't be decrypted. */
    function transactions(request: FastifyRequest) {
      return Object.entries(request.cookies)
        .filter(([cookieName]) => isTransactionCookie(name, cookieName))
        .map(([cookieName, value]) => ({ cookieName, transaction: value ? open(request, value) : undefined }))
    }

    /** Names of cookies to drop so that a new one of `bytes` fits: undecryptable ones first, then the oldest. */
    function surplusTransactions(request: FastifyRequest, bytes: number): string[] {
      let total = bytes
      return transactions(request)
        .sort((a, b) => (b.transaction?.startedAt ?? 0) - (a.transaction?.startedAt ?? 0))
        .filter(({ cookieName }, index) => {
          total += bytesOf(cookieName, request.cookies[cookieName])
          return index >= maxOpenTransactions - 1 || total > maxTransactionBytes
        })
        .map(({ cookieName }) => cookieName)
    }
  },
  { name: 'session-cookie', fastify: '5.x' },
)

function readLogout({ state, returnUrl }: Record<string, unknown>): Logout | undefined {
  return typeof state === 'string' && typeof returnUrl === 'string' ? { state, returnUrl } : undefined
}

/** Whether a `Cookie` header may have several cookies of this name. */
function mayOccurTwice(header = '', name: string): boolean {
  return header.indexOf(name, header.indexOf(name) + 1) >= 0
}

/** Size as written by @fastify/cookie. */
function bytesOf(cookieName: string, value = ''): number {
  return cookieName.length + encodeURIComponent(value).length + '=; '.length
}
