/** A cookie as the server set it. */
export interface Cookie {
  name: string
  value: string
  /** Without a leading dot. */
  domain: string
  /** Sent to that very host only. */
  hostOnly: boolean
  path: string
  secure: boolean
  httpOnly: boolean
  sameSite?: string
  /** Milliseconds since the epoch; undefined: until the browser is closed. */
  expiresAt?: number
}

/**
 * Cookies as browsers keep them: by host, whatever the port.
 * @see https://www.rfc-editor.org/rfc/rfc6265#section-5
 */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>()

  /** @param setCookies the values of an answer's `Set-Cookie` headers */
  store(url: URL, setCookies: string[]): void {
    for (const header of setCookies) {
      const cookie = parse(header, url)
      if (!isAcceptable(cookie, url)) continue
      const key = `${cookie.domain} ${cookie.path} ${cookie.name}`
      // An older cookie keeps its place in the order.
      if (isExpired(cookie)) this.#cookies.delete(key)
      else this.#cookies.set(key, cookie)
    }
  }

  /** The `Cookie` header, longest path first; undefined when there is nothing to send. */
  headerFor(url: URL): string | undefined {
    const cookies = this.all().filter((cookie) => isSentTo(cookie, url))
    cookies.sort((a, b) => b.path.length - a.path.length)
    return cookies.length > 0 ? cookies.map(({ name, value }) => `${name}=${value}`).join('; ') : undefined
  }

  all(): Cookie[] {
    return [...this.#cookies.values()].filter((cookie) => !isExpired(cookie))
  }

  get(name: string): Cookie | undefined {
    return this.all().find((cookie) => cookie.name === name)
  }

  clear(): void {
    this.#cookies.clear()
  }
}

function parse(header: string, url: URL): Cookie {
  const [pair = '', ...attributeParts] = header.split(';')
  const attributes = new Map(attributeParts.map((part) => nameAndValue(part, (name) => name.toLowerCase())))
  const [name, value] = nameAndValue(pair, (it) => it)
  const domain = attributes.get('domain')?.replace(/^\./, '').toLowerCase()
  const path = attributes.get('path')
  const sameSite = attributes.get('samesite')
  const expiresAt = expiry(attributes)
  return {
    name,
    value,
    domain: domain || url.hostname,
    hostOnly: !domain,
    path: path?.startsWith('/') ? path : defaultPath(url),
    secure: attributes.has('secure'),
    httpOnly: attributes.has('httponly'),
    ...(sameSite !== undefined && { sameSite }),
    ...(expiresAt !== undefined && { expiresAt }),
  }
}

function nameAndValue(part: string, rename: (name: string) => string): [name: string, value: string] {
  const [name = '', ...value] = part.split('=')
  return [rename(name.trim()), value.join('=').trim()]
}

function expiry(attributes: Map<string, string>): number | undefined {
  const maxAge = attributes.get('max-age')
  if (maxAge !== undefined && /^-?\d+$/.test(maxAge)) return Date.now() + Number(maxAge) * 1000
  const date = Date.parse(attributes.get('expires') ?? '')
  return Number.isNaN(date) ? undefined : date
}

function defaultPath({ pathname }: URL): string {
  return pathname.slice(0, pathname.lastIndexOf('/')) || '/'
}

function isAcceptable(cookie: Cookie, url: URL): boolean {
  const { name, secure, hostOnly, path } = cookie
  if (name === '') return false
  if (!hostOnly && !matchesDomain(cookie.domain, url.hostname)) return false
  if (secure && !isTrustworthy(url)) return false
  if (name.startsWith('__Secure-') && !secure) return false
  return !name.startsWith('__Host-') || (secure && hostOnly && path === '/')
}

function isSentTo({ domain, hostOnly, path, secure }: Cookie, url: URL): boolean {
  const toHost = hostOnly ? domain === url.hostname : matchesDomain(domain, url.hostname)
  return toHost && matchesPath(path, url.pathname) && (!secure || isTrustworthy(url))
}

function matchesDomain(domain: string, hostname: string): boolean {
  return hostname === domain || hostname.endsWith(`.${domain}`)
}

function matchesPath(path: string, pathname: string): boolean {
  return pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}

/** Browsers take Secure cookies from plain http on this very machine. */
function isTrustworthy({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost')
}

function isExpired({ expiresAt }: Cookie): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now()
}
