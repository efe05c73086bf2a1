import { LRUCache } from 'lru-cache'

/** The latest nonce of each server, for proofs. @see https://www.rfc-editor.org/rfc/rfc9449#section-8 */
export interface Nonces {
  of(server: string): string | undefined
  /**
   * Keeps the nonce of an answer, whatever its status.
   * @param nonce its `DPoP-Nonce`, if it has one
   */
  keep(server: string, nonce: unknown): void
}

/** An application may call any number of servers. */
const maxServers = 100

/** A longer one would make requests too large for some servers. */
const maxLength = 1024
const nonceCharacters = /^[\x21\x23-\x5b\x5d-\x7e]+$/

export function createNonces(): Nonces {
  const latest = new LRUCache<string, string>({ max: maxServers })
  return {
    of: (server) => latest.get(server),
    keep(server, nonce) {
      if (typeof nonce === 'string' && nonce.length <= maxLength && nonceCharacters.test(nonce))
        latest.set(server, nonce)
    },
  }
}

type Fetch = (url: string | URL, options?: RequestInit) => Promise<Response>

/** `fetch` that keeps the nonces of the issuer's answers. */
export function keepNonces(fetch: Fetch, nonces: Nonces): Fetch {
  return async (url, options) => {
    const response = await fetch(url, options)
    nonces.keep(new URL(url).origin, response.headers.get('dpop-nonce'))
    return response
  }
}
