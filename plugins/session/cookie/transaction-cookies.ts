import type { CookieSerializeOptions } from '@fastify/cookie'
import { loginLifetimeMs } from '../../../http/limits.ts'
import {
  isTransactionCookie,
  type LoginTransaction,
  maxOpenTransactions,
  maxTransactionBytes,
  readTransaction,
  transactionCookieName,
} from '../../login/login-transaction.ts'
import type { SessionReference } from '../session-reference.ts'
import type { CookieReply, CookieRequest } from './messages.ts'
import type { CookieSealer } from './secure-session.ts'

/** A cookie for each login under way. */
export interface TransactionCookies {
  transaction(request: CookieRequest, state: string): LoginTransaction | undefined
  /** All logins under way in this browser. */
  transactions(request: CookieRequest): LoginTransaction[]
  /** Also drops the oldest transactions if there are too many. */
  setTransaction(request: CookieRequest, reply: CookieReply, transaction: LoginTransaction): void
  clearTransaction(reply: CookieReply, transaction: LoginTransaction): void
  /** Records in the other logins under way in this browser that they replace this session when they succeed. */
  setReplacedSession(
    request: CookieRequest,
    reply: CookieReply,
    transaction: LoginTransaction,
    reference: SessionReference,
  ): void
}

/**
 * @param sessionCookieName prefix of the cookies' names
 * @param attributes of the cookies, `SameSite=Lax` among them
 */
export function createTransactionCookies(
  sealer: CookieSealer,
  sessionCookieName: string,
  attributes: CookieSerializeOptions,
): TransactionCookies {
  return {
    transaction(request, state) {
      const value = request.cookies[transactionCookieName(sessionCookieName, state)]
      return value === undefined ? undefined : decrypt(request, value)
    },

    transactions: (request) => cookiesOf(request).flatMap(({ transaction }) => transaction ?? []),

    setTransaction(request, reply, transaction) {
      const bytes = write(reply, transaction)
      for (const cookieName of surplusCookies(request, bytes)) reply.clearCookie(cookieName, attributes)
    },

    clearTransaction(reply, transaction) {
      const cookieName = transactionCookieName(sessionCookieName, transaction.state)
      reply.clearCookie(cookieName, attributesOf(transaction))
    },

    setReplacedSession(request, reply, { state }, replaces) {
      for (const { transaction } of cookiesOf(request)) {
        if (transaction && transaction.state !== state) write(reply, { ...transaction, replaces })
      }
    },
  }

  /** @returns size of the cookie in a request, in bytes */
  function write(reply: CookieReply, transaction: LoginTransaction): number {
    const cookieName = transactionCookieName(sessionCookieName, transaction.state)
    const sealed = sealer.encodeSecureSession(
      // secure-session counts the lifetime from `__ts`, in seconds: re-encrypting does not extend it.
      sealer.createSecureSession({ ...transaction, __ts: Math.round(transaction.startedAt / 1000) }),
      'sealedTransaction',
    )
    reply.setCookie(cookieName, sealed, { ...attributesOf(transaction), maxAge: loginLifetimeMs / 1000 })
    return bytesOf(cookieName, sealed)
  }

  /** In a frame the callback is no top-level navigation, and Lax cookies are sent with those only. */
  function attributesOf({ inFrame }: LoginTransaction): CookieSerializeOptions {
    return inFrame && attributes.secure ? { ...attributes, sameSite: 'none' } : attributes
  }

  function decrypt(request: CookieRequest, value: string): LoginTransaction | undefined {
    const cookie = sealer.decodeSecureSession(value, request.log, 'sealedTransaction')
    return cookie ? readTransaction(cookie.data()) : undefined
  }

  /** The request's transaction cookies, including those that can't be decrypted. */
  function cookiesOf(request: CookieRequest) {
    return Object.entries(request.cookies)
      .filter(([cookieName]) => isTransactionCookie(sessionCookieName, cookieName))
      .map(([cookieName, value]) => ({
        cookieName,
        transaction: value ? decrypt(request, value) : undefined,
      }))
  }

  /** Names of cookies to drop so that a new one of `bytes` fits: undecryptable ones first, then the oldest. */
  function surplusCookies(request: CookieRequest, bytes: number): string[] {
    let total = bytes
    return cookiesOf(request)
      .sort((a, b) => (b.transaction?.startedAt ?? 0) - (a.transaction?.startedAt ?? 0))
      .filter(({ cookieName }, index) => {
        total += bytesOf(cookieName, request.cookies[cookieName])
        return index >= maxOpenTransactions - 1 || total > maxTransactionBytes
      })
      .map(({ cookieName }) => cookieName)
  }
}

/** Size as written by @fastify/cookie. */
function bytesOf(cookieName: string, value = ''): number {
  return cookieName.length + encodeURIComponent(value).length + '=; '.length
}
