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
import { readReference, type SessionReference } from '../sessions.ts'
import { transactionLifetimeMs } from '../superseded-session.ts'
import { deriveKeys } from './keys.ts'
import { type SealedCookie, type SecureSessionOptions, secureSession } from './secure-session.ts'

declare module 'fastify' {
  interface FastifyInstance {
    createSecureSession(data: object): SealedCookie
    decodeSecureSession(value: string, log: unknown, sessionName: string): SealedCookie | null
    encodeSecureSession(cookie: SealedCookie, sessionName: string): string
    /** Everything that is kept in the browser, all of it sealed. */
    browserCookies: BrowserCookies
  }
  interface FastifyRequest {
    sealedSession: SealedCookie | null
    /** Whether the answer may set or clear the session's cookie: only what {@link BrowserCookies} was asked for. */
    changesSessionCookie: boolean
  }
}

export interface BrowserCookies {
  /** Nothing when there is no cookie or it can't be opened: tampered with, foreign, outdated. */
  sessionReference(request: FastifyRequest): SessionReference | undefined
  setSessionReference(request: FastifyRequest, reference: SessionReference): void
  clearSession(request: FastifyRequest): void
  /** Whether the cookie was sealed with a key that is being rotated out. */
  isOutdated(request: FastifyRequest): boolean
  /** Seals an outdated cookie with the current key. */
  resealSession(request: FastifyRequest): void
  transaction(request: FastifyRequest, state: string): LoginTransaction | undefined
  /** Also drops the oldest of too many. */
  setTransaction(request: FastifyRequest, reply: FastifyReply, transaction: LoginTransaction): void
  clearTransaction(reply: FastifyReply, transaction: LoginTransaction): void
  /** Makes the other logins that this browser has begun replace this session when they succeed. */
  replaceByOthers(
    request: FastifyRequest,
    reply: FastifyReply,
    transaction: LoginTransaction,
    reference: SessionReference,
  ): void
}

export interface SessionCookieOptions {
  name: string
  sameSite: 'strict' | 'lax' | 'none'
  secure: boolean
  /** The first seals, all open. */
  keys: Buffer[]
  lifetimeMs: number
}

export default fp<SessionCookieOptions>(
  async (app, { name, sameSite, secure, keys, lifetimeMs }) => {
    const base: CookieSerializeOptions = { path: '/', httpOnly: true, secure }
    // Lax: the callback comes as a navigation from the issuer's site, and a Strict cookie would stay behind.
    const transactionCookie: CookieSerializeOptions = { ...base, sameSite: 'lax' }
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
    ]
    app.decorateRequest('changesSessionCookie', false)
    // Before secure-session's own hook, which would set a cookie that an older key has opened with any answer: with one
    // of an upstream that took minutes, in place of the session that the browser has by then. Nor does an answer that
    // says that store or issuer can't be asked touch a cookie.
    app.addHook('onSend', async (request, { statusCode }) => {
      if (request.sealedSession && !(request.changesSessionCookie && statusCode < 500))
        request.sealedSession.changed = false
    })
    // An application may have it already.
    if (!app.hasPlugin('@fastify/cookie')) await app.register(cookie)
    await app.register(secureSession, sealed)

    app.decorate('browserCookies', {
      sessionReference(request) {
        const values = cookieValues(request.headers.cookie, name)
        return values.length > 1
          ? singleReference(request, values)
          : readReference(request.sealedSession?.data() ?? {})
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

      setTransaction(request, reply, transaction) {
        const bytes = keepTransaction(reply, transaction)
        for (const cookieName of surplusTransactions(request, bytes))
          reply.clearCookie(cookieName, transactionCookie)
      },

      clearTransaction(reply, transaction) {
        reply.clearCookie(transactionCookieName(name, transaction.state), attributesOf(transaction))
      },

      replaceByOthers(request, reply, { state }, replaces) {
        for (const { transaction } of transactions(request)) {
          if (transaction && transaction.state !== state) keepTransaction(reply, { ...transaction, replaces })
        }
      },
    } satisfies BrowserCookies)

    /** @returns bytes of the cookie in a request */
    function keepTransaction(reply: FastifyReply, transaction: LoginTransaction): number {
      const cookieName = transactionCookieName(name, transaction.state)
      const sealed = app.encodeSecureSession(
        // secure-session counts the lifetime from `__ts`, in seconds: one that is sealed again lives no longer.
        app.createSecureSession({ ...transaction, __ts: Math.round(transaction.startedAt / 1000) }),
        'sealedTransaction',
      )
      reply.setCookie(cookieName, sealed, {
        ...attributesOf(transaction),
        maxAge: transactionLifetimeMs / 1000,
      })
      return bytesOf(cookieName, sealed)
    }

    /** In a frame the way back from the issuer is no navigation of the page, which is all that Lax allows. */
    function attributesOf({ inFrame }: LoginTransaction): CookieSerializeOptions {
      return inFrame && secure ? { ...transactionCookie, sameSite: 'none' } : transactionCookie
    }

    /**
     * A sibling subdomain that can set cookies for our host can inject another user's session before the browser's
     * own. A cookie that can't be opened does no harm, but with two sessions there is no telling which one is meant.
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

    /** Those that the request brought, whether or not they can be opened. */
    function transactions(request: FastifyRequest) {
      return Object.entries(request.cookies)
        .filter(([cookieName]) => isTransactionCookie(name, cookieName))
        .map(([cookieName, value]) => ({ cookieName, transaction: value ? open(request, value) : undefined }))
    }

    /** Names of the oldest, so that a new one of so many bytes fits; those that can't be opened go first. */
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

/** As @fastify/cookie writes it. */
function bytesOf(cookieName: string, value = ''): number {
  return cookieName.length + encodeURIComponent(value).length + '=; '.length
}
