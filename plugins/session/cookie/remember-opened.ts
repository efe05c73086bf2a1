import { LRUCache } from 'lru-cache'
import type { SealedCookie } from './secure-session.ts'

/** The part of @fastify/secure-session that is needed here. */
interface SecureSession {
  createSecureSession(data: object): SealedCookie
  decodeSecureSession(value: string | undefined, log: unknown, sessionName: string): SealedCookie | null
}

/** Number of cookies, some 600 bytes each. */
const maxCookies = 5000

/** Of a cookie's value, in characters. Longer ones are other spellings, which decoders of base64 accept. */
const maxRememberedLength = 512

interface Opened {
  data: Record<string, unknown>
  /** Encrypted with an old key. */
  changed: boolean
}

/**
 * Decrypts each session cookie once: it costs more than all other work for a request, and browsers send the same cookie
 * with every request. The cookie's lifetime is still checked each time. Keys don't change while the process runs.
 * Cookies that can't be decrypted are not remembered, so an attacker can not fill the memory with them.
 *
 * @param sessionName of the cookies that are remembered
 * @param expiry their lifetime in seconds
 */
export function rememberOpened(app: SecureSession, sessionName: string, expiry: number): void {
  const decode = app.decodeSecureSession.bind(app)
  const opened = new LRUCache<string, Opened>({ max: maxCookies })

  app.decodeSecureSession = (value, log, name) => {
    if (name !== sessionName || value === undefined) return decode(value, log, name)
    const known = opened.get(value)
    if (known) {
      if ((Number(known.data['__ts']) + expiry) * 1000 <= Date.now()) return null
      // A copy: the response may change it.
      const cookie = app.createSecureSession({ ...known.data })
      cookie.changed = known.changed
      return cookie
    }
    const cookie = decode(value, log, name)
    if (cookie && value.length <= maxRememberedLength) {
      const data = { ...cookie.data(), __ts: cookie.get('__ts') }
      opened.set(value, { data, changed: cookie.changed })
    }
    return cookie
  }
}
