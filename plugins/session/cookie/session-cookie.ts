import { cookieValues } from '../../../http/cookies.ts'
import { readReference, type SessionReference } from '../session-reference.ts'
import type { CookieRequest } from './messages.ts'
import type { CookieSealer } from './secure-session.ts'

/** The session cookie. @fastify/secure-session decrypts it into `request.sealedSession` and writes it if it changed. */
export interface SessionCookie {
  /** Undefined if there is no cookie, or it can't be decrypted: tampered with, foreign or expired. */
  sessionReference(request: CookieRequest): SessionReference | undefined
  /** When the session cookie was made, in milliseconds since the epoch: at login. Undefined if that is not known. */
  sessionCookieMadeAt(request: CookieRequest): number | undefined
  setSessionReference(request: CookieRequest, reference: SessionReference): void
  clearSession(request: CookieRequest): void
  /** Whether the cookie was encrypted with an old key (key rotation). */
  isOutdated(request: CookieRequest): boolean
  /** Encrypts an outdated cookie with the current key. */
  resealSession(request: CookieRequest): void
}

export function createSessionCookie(sealer: CookieSealer, name: string): SessionCookie {
  return {
    sessionReference(request) {
      if (!mayOccurTwice(request.headers.cookie, name)) return decryptedReference(request)
      const values = cookieValues(request.headers.cookie, name)
      return values.length > 1 ? onlyReference(request, values) : decryptedReference(request)
    },

    sessionCookieMadeAt({ sealedSession }) {
      const seconds = Number(sealedSession?.get('__ts'))
      return seconds > 0 ? seconds * 1000 : undefined
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
  }

  function decryptedReference({ sealedSession }: CookieRequest): SessionReference | undefined {
    return sealedSession
      ? readReference({ id: sealedSession.get('id'), key: sealedSession.get('key') })
      : undefined
  }

  /**
   * A sibling subdomain that can set cookies for our host can inject another user's session cookie before the
   * browser's own. Cookies that can't be decrypted are ignored; with two valid sessions the request counts as
   * anonymous.
   */
  function onlyReference(request: CookieRequest, values: string[]): SessionReference | undefined {
    const cookies = [...new Set(values)].map((value) =>
      sealer.decodeSecureSession(value, request.log, 'sealedSession'),
    )
    const [reference, ...more] = cookies.flatMap((cookie) => (cookie && readReference(cookie.data())) ?? [])
    return more.length === 0 ? reference : undefined
  }
}

/** Whether a `Cookie` header may have several cookies of this name. */
function mayOccurTwice(header = '', name: string): boolean {
  let times = 0
  for (let at = header.indexOf(name); at >= 0; at = header.indexOf(name, at + 1)) {
    // The names of the gateway's other cookies go on with a hyphen.
    if (header[at + name.length] !== '-' && ++times > 1) return true
  }
  return false
}
