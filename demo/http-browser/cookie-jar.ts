import { Cookie as ToughCookie, CookieJar as ToughCookieJar } from 'tough-cookie'

/** A cookie as it is kept now. */
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

/** Cookies as browsers keep them, without what tests don't look at: by host, whatever the port. */
export class CookieJar {
  // Hosts such as localhost are not on the list of public suffixes.
  readonly #jar = new ToughCookieJar(undefined, { rejectPublicSuffixes: false, prefixSecurity: 'strict' })

  /** Takes those that a browser takes. @param setCookies the values of an answer's `Set-Cookie` headers */
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

/** @returns nothing for one that has expired, which the jar forgets when it is asked for next */
function snapshot(cookie: ToughCookie | undefined): Cookie | undefined {
  if (!cookie || (cookie.expiryTime() ?? Number.POSITIVE_INFINITY) <= Date.now()) return undefined
  const { key, value, domain, path, secure, httpOnly, sameSite } = cookie
  return { name: key, value, domain: domain ?? '', path: path ?? '', secure, httpOnly, sameSite }
}
