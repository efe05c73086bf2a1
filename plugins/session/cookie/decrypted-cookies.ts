import { LRUCache } from 'lru-cache'
import type { CookieSealer } from './secure-session.ts'

/** Number of cookies, some 600 bytes each. */
const maxCookies = 5000

/** Of a cookie's value, in characters. Longer ones are other spellings, which decoders of base64 accept. */
const maxCachedLength = 512

interface Decrypted {
  data: Record<string, unknown>
  /** Encrypted with an old key. */
  changed: boolean
}

/**
 * Decrypts each session cookie once: it costs more than all other work for a request, and browsers send the same cookie
 * with every request. The cookie's lifetime is still checked each time. Keys don't change while the process runs.
 * Cookies that can't be decrypted are not cached, so an attacker can not fill the memory with them.
 *
 * @param sessionName of the cookies that are cached
 * @param expiry their lifetime in seconds
 */
export function cacheDecryptedCookies(app: CookieSealer, sessionName: string, expiry: number): void {
  const decode = app.decodeSecureSession.bind(app)
  const decrypted = new LRUCache<string, Decrypted>({ max: maxCookies })

  app.decodeSecureSession = (value, log, name) => {
    if (name !== sessionName || value === undefined) return decode(value, log, name)
    const known = decrypted.get(value)
    if (known) {
      if ((Number(known.data['__ts']) + expiry) * 1000 <= Date.now()) return null
      // A copy: the response may change it.
      const cookie = app.createSecureSession({ ...known.data })
      cookie.changed = known.changed
      return cookie
    }
    const cookie = decode(value, log, name)
    if (cookie && value.length <= maxCachedLength) {
      const data = { ...cookie.data(), __ts: cookie.get('__ts') }
      decrypted.set(value, { data, changed: cookie.changed })
    }
    return cookie
  }
}
