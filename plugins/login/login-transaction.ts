import { createHash, randomBytes } from 'node:crypto'
import { readReference, type SessionReference } from '../session/sessions.ts'

/** One login on its way, in a cookie of its own so that parallel tabs don't disturb each other. Single use. */
export interface LoginTransaction {
  /** At which it was begun, as it is configured. @see https://www.rfc-editor.org/rfc/rfc9700#section-4.4.2 */
  issuer: string
  state: string
  nonce: string
  /** @see https://www.rfc-editor.org/rfc/rfc7636#section-4.1 */
  codeVerifier: string
  returnUrl: string
  /** Milliseconds since the epoch. */
  startedAt: number
  /** It was asked not to show anything, so a refusal is an answer and no fault. */
  silent: boolean
  /** It runs in a frame, whose parent waits to be told. */
  inFrame?: boolean
  maxAgeSeconds?: number
  /**
   * The browser's session when the login began, which ends when the login succeeds. A Strict cookie does not come with
   * the callback, which is a navigation from the issuer's site.
   */
  replaces?: SessionReference
}

/** Per browser, the oldest dropped: a browser may restore many tabs at once, and each takes some 700 bytes. */
export const maxOpenTransactions = 10
/** Of all their cookies together in a request, whose headers may have 16 KiB: the callback's URL is long, too. */
export const maxTransactionBytes = 12_000

export function beginTransaction(
  login: Pick<LoginTransaction, 'issuer' | 'returnUrl' | 'silent' | 'inFrame' | 'maxAgeSeconds' | 'replaces'>,
  now: number,
): LoginTransaction {
  const random = () => randomBytes(32).toString('base64url')
  return { ...login, state: random(), nonce: random(), codeVerifier: random(), startedAt: now }
}

/** A hash of the state, since what a callback brings is no cookie name yet. */
export function transactionCookieName(sessionCookieName: string, state: string): string {
  const hash = createHash('sha256').update(state).digest('base64url').slice(0, 16)
  return `${sessionCookieName}-tx-${hash}`
}

/** Not for every name that begins so: browsers take names from others that can't even be cleared again. */
export function isTransactionCookie(sessionCookieName: string, name: string): boolean {
  const prefix = `${sessionCookieName}-tx-`
  return name.startsWith(prefix) && /^[\w-]{16}$/.test(name.slice(prefix.length))
}

/** The content of a sealed cookie as a transaction. It was sealed by us, so this guards against older versions. */
export function readTransaction(content: Record<string, unknown>): LoginTransaction | undefined {
  const { issuer, state, nonce, codeVerifier, returnUrl, startedAt, replaces } = content
  const complete =
    [issuer, state, nonce, codeVerifier, returnUrl].every((text) => typeof text === 'string') &&
    typeof startedAt === 'number' &&
    (replaces === undefined || readReference(Object(replaces)) !== undefined)
  return complete ? (content as unknown as LoginTransaction) : undefined
}
