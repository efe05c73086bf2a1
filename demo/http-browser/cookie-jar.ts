import { Cookie as ToughCookie, CookieJar as ToughCookieJar } from 'tough-cookie'

/** A stored cookie. */
export interface Cookie {
  name: string
  value: string
  domain: string
  path: string
  secure: boolean
  httpOnly: boolean
  /** Lower case. */
  sameSite: string | undefined
}

/** A cookie jar like a browser's: by host, for all ports. */
export class CookieJar {
  // Hosts such as localhost are not on the list of public suffixes.
  readonly #jar = new ToughCookieJar(undefined, { rejectPublicSuffixes: false, prefixSecurity: 'strict' })

  /** Stores cookies that a browser would accept. @param setCookies the values of an answer's `Set-Cookie` headers */
  store(url: URL, setCookies: string[]): void {
    for (const header of setCookies) this.#jar.setCookieSync(header, url.href, { ignoreError: true })
  }

  /** The `Cookie` header, longest path first; undefined when there is nothing to send. */
  headerFor(url: URL): string | undefined {
    return this.#jar.getCookieStringSync(url.href) || undefined
  }

  all(): Cookie[] {
    const kept = this.#jar.serializeSync()?.cookies ?? []
    return kept.flatMap((cookie) => snapshot(ToughCookie.fromJSON(cookie)) ?? [])
  }

  get(name: string): Cookie | undefined {
    return this.all().find((cookie) => cookie.name === name)
  }

  clear(): void {
    this.#jar.removeAllCookiesSync()
  }
}

/** @returns undefined for an expired one, which the jar removes on the next read */
function snapshot(cookie: ToughCookie | undefined): Cookie | undefined {
  if (!cookie || (cookie.expiryTime() ?? Number.POSITIVE_INFINITY) <= Date.now()) return undefined
  const { key, value, domain, path, secure, httpOnly, sameSite } = cookie
  return { name: key, value, domain: domain ?? '', path: path ?? '', secure, httpOnly, sameSite }
}
