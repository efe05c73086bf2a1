import { createHash, randomBytes } from 'node:crypto'
import { readReference, type SessionReference } from '../session/session-reference.ts'

/** A login under way. Each has its own cookie, so that logins in parallel tabs don't interfere. Single use. */
export interface LoginTransaction {
  /** The configured issuer, against mix-up attacks. @see https://www.rfc-editor.org/rfc/rfc9700#section-4.4.2 */
  issuer: string
  state: string
  nonce: string
  /** @see https://www.rfc-editor.org/rfc/rfc7636#section-4.1 */
  codeVerifier: string
  /** The key that the code and its tokens are bound to, if they are. Of `Issuer.newLoginKey`. */
  loginKey?: string
  /** As `keepReturnUrl` makes it of the URL. */
  returnUrl: string
  /** Milliseconds since the epoch. */
  startedAt: number
  /** `prompt=none`: a refusal by the issuer is an expected outcome, not an error. */
  silent: boolean
  /** It runs in a frame, whose parent page waits for the outcome. */
  inFrame?: boolean
  /** Origins of that page, one of which it has; `self` for our own. */
  parentOrigins?: string[]
  maxAgeSeconds?: number
  /**
   * The browser's session when the login began. It is ended when the login succeeds. Stored here because the callback
   * is a navigation from the issuer's site, with which a Strict cookie is not sent.
   */
  replaces?: SessionReference
}

/**
 * Per browser; the oldest are dropped. A browser may restore many tabs at once, and each cookie takes some 700 bytes, 100
 * more with a key.
 */
export const maxOpenTransactions = 10
/** Total size of their cookies in a request. Its headers are limited to 16 KiB, and the callback's URL is long, too. */
export const maxTransactionBytes = 12_000

export function beginTransaction(
  login: Omit<LoginTransaction, 'state' | 'nonce' | 'codeVerifier' | 'startedAt'>,
  now: number,
): LoginTransaction {
  const random = () => randomBytes(32).toString('base64url')
  return { ...login, state: random(), nonce: random(), codeVerifier: random(), startedAt: now }
}

/** Contains a hash of the state: a callback's `state` is arbitrary text, not a valid cookie name. */
export function transactionCookieName(sessionCookieName: string, state: string): string {
  const hash = createHash('sha256').update(state).digest('base64url').slice(0, 16)
  return `${sessionCookieName}-tx-${hash}`
}

/** Checks the whole name, not only its prefix: other sites can set cookies with names that can't be cleared again. */
export function isTransactionCookie(sessionCookieName: string, name: string): boolean {
  const prefix = `${sessionCookieName}-tx-`
  return name.startsWith(prefix) && /^[\w-]{16}$/.test(name.slice(prefix.length))
}

/** Validates a transaction cookie's content. The gateway has encrypted it, so this is about older versions only. */
export function readTransaction(content: Record<string, unknown>): LoginTransaction | undefined {
  const { issuer, state, nonce, codeVerifier, loginKey, returnUrl, startedAt, replaces } = content
  const complete =
    [issuer, state, nonce, codeVerifier, returnUrl].every((text) => typeof text === 'string') &&
    typeof startedAt === 'number' &&
    (loginKey === undefined || typeof loginKey === 'string') &&
    (replaces === undefined || readReference(Object(replaces)) !== undefined)
  // `every` does not narrow the members that it has checked.
  return complete ? (content as unknown as LoginTransaction) : undefined
}
