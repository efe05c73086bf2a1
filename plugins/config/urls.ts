import { parseRedisUrl } from '../session-store/redis-url.ts'
import { entries, type Parser } from './parsers.ts'

/** An http or https URL of an origin with an optional path. Plain http is for loopback hosts alone. */
export function url(example: string): Parser<URL> {
  return (text) => {
    const parsed = webUrl(text, example)
    if (isPlainHttp(parsed)) throw new TypeError('must begin with https:// (http:// is for localhost only)')
    return parsed
  }
}

/** Origin and base path, without a slash at the end; `insecure` accepts plain http to any host. */
export function baseUrl(example: string, { insecure = false } = {}): Parser<URL> {
  const parse = insecure ? (text: string) => webUrl(text, example) : url(example)
  return (text) => {
    const parsed = parse(text)
    parsed.pathname = parsed.pathname.replace(/\/+$/, '')
    return parsed
  }
}

/** True for http to a host that is not this machine. */
export function isPlainHttp({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !isLoopback(hostname)
}

/** @param hostname as a URL has it, an IPv6 address in brackets */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/i.test(hostname)
}

/** Without the slash that URL adds to a bare origin. */
export function formatUrl({ href, pathname, origin }: URL): string {
  return pathname === '/' ? origin : href
}

/** As browsers write them in the `Origin` header. @see https://www.rfc-editor.org/rfc/rfc6454#section-6.1 */
export function origins(text: string): string[] {
  return entries(text).map((entry, index) => {
    if (/[*]|^null$/i.test(entry)) {
      throw new TypeError(
        'must name each origin: * and null would let any page act for your users (separate origins by commas)',
      )
    }
    const parsed = URL.parse(entry)
    const origin = parsed && `${parsed.protocol}//${parsed.host}`
    if (origin && parsed.host && origin === entry) return entry
    throw new TypeError(
      `must hold origins such as https://app.example.com, in lower case and with nothing behind the host and port, but entry ${index + 1} is not one`,
    )
  })
}

/** Only the gateway may say these: they carry the code flow and its protection. */
const ownParameters =
  /^(response_type|response_mode|client_id|client_secret|redirect_uri|scope|state|nonce|code_challenge.*|request|request_uri)$/

/** Extra authorization parameters as a query string. */
export function authorizationParameters(text: string): URLSearchParams {
  const parameters = new URLSearchParams(text)
  for (const [name, value] of parameters) {
    if (!name || !value) {
      throw new TypeError(
        'must be a query string of names with values, such as prompt=consent&acr_values=mfa',
      )
    }
    if (name === 'scope') throw new TypeError('must not set scope: use OIDC_SCOPE')
    if (ownParameters.test(name)) throw new TypeError(`must not set ${name}: the gateway sets it itself`)
    // RFC 6749 section 3.1 forbids repeating; RFC 8707 allows it for resource.
    if (parameters.getAll(name).length > 1 && name !== 'resource' && name !== 'audience') {
      throw new TypeError('must not set a parameter twice (only resource and audience can be repeated)')
    }
  }
  return parameters
}

/** The URL itself, once it has one of the known forms. */
export function redisUrl(text: string): string {
  try {
    parseRedisUrl(text)
    return text
  } catch (error) {
    throw new TypeError((error as Error).message.replace(/^The Redis URL /, ''))
  }
}

function webUrl(text: string, example: string): URL {
  const parsed = /^https?:\/\/[^\s\\]+$/i.test(text) ? URL.parse(text) : null
  if (!parsed) throw new TypeError(`must be a full URL such as ${example}`)
  if (parsed.username || parsed.password)
    throw new TypeError('must not hold a user or password: remove what is before @')
  if (/[?#]/.test(text))
    throw new TypeError('must not have a query or fragment: remove ? or # and what follows')
  if (parsed.pathname.includes('//')) throw new TypeError('must not have two slashes in a row in its path')
  return parsed
}
