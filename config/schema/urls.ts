import { z } from 'zod'
import { type Parser, parsed } from './option.ts'
import { parseRedisUrl } from './redis-url.ts'

/** An option that is a URL. */
export function url(parse: Parser<URL>) {
  const written = z.union([z.string(), z.instanceof(URL)], 'must be a string, in quotes')
  return parsed(parse, { written, show: formatUrl })
}

/** An http or https URL of an origin with an optional path. `insecure` accepts plain http to any host, not only loopback. */
export function httpUrl(example: string, { insecure = false } = {}): Parser<URL> {
  return (text) => {
    const parsed = webUrl(text, example)
    if (!insecure && isPlainHttp(parsed))
      throw new TypeError('must begin with https:// (http:// is for localhost only)')
    return parsed
  }
}

/** Origin and base path, without a slash at the end; `insecure` as of {@link httpUrl}. */
export function baseUrl(example: string, options: { insecure?: boolean } = {}): Parser<URL> {
  const parse = httpUrl(example, options)
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

/** The path without a slash at the end: empty when it is the root. */
export function basePath({ pathname }: URL): string {
  return pathname.replace(/\/$/, '')
}

/** Without the slash that URL adds to a bare origin. */
export function formatUrl({ href, pathname, origin }: URL): string {
  return pathname === '/' ? origin : href
}

/** As browsers write it in the `Origin` header. @see https://www.rfc-editor.org/rfc/rfc6454#section-6.1 */
export function origin(text: string): string {
  if (/[*]|^null$/i.test(text))
    throw new TypeError('must name an origin: * and null would let any page act for your users')
  const parsed = URL.parse(text)
  if (parsed?.host && `${parsed.protocol}//${parsed.host}` === text) return text
  throw new TypeError(
    'must be an origin such as https://app.example.com, in lower case and with nothing after host and port',
  )
}

/** Set by the gateway only: they carry the code flow and its protection. */
const ownParameters =
  /^(response_type|response_mode|client_id|client_secret|redirect_uri|scope|state|nonce|code_challenge.*|request|request_uri|dpop_jkt)$/

/** Extra authorization parameters as a query string. */
export function authorizationParameters(text: string): URLSearchParams {
  const parameters = new URLSearchParams(text)
  const faults = [...parameters].map(([name, value]) => parameterFault(name, value, parameters))
  const messages = new Set(faults.filter((fault) => fault !== undefined))
  if (messages.size > 0) throw new AggregateError([...messages].map((message) => new TypeError(message)))
  return parameters
}

function parameterFault(name: string, value: string, all: URLSearchParams): string | undefined {
  if (!name || !value)
    return 'must be a query string of names with values, such as prompt=consent&acr_values=mfa'
  if (name === 'response_mode') return 'must not set response_mode: use {oidc.responseMode}'
  if (name === 'scope') return 'must not set scope: use {oidc.scope}'
  if (ownParameters.test(name)) return `must not set ${name}: the gateway sets it itself`
  // RFC 6749 section 3.1 forbids repeating; RFC 8707 allows it for resource.
  if (all.getAll(name).length > 1 && name !== 'resource' && name !== 'audience')
    return 'must not set a parameter twice (only resource and audience can be repeated)'
  return undefined
}

/** A URL with placeholders. */
export function logoutUrl(text: string): string {
  const unknown = [...text.matchAll(/\{(.*?)\}/g)].find(
    ([, name = '']) => !['client_id', 'return_url'].includes(name),
  )
  if (unknown) throw new TypeError('must have no placeholders but {client_id} and {return_url}')
  const [beforeQuery = ''] = text.replaceAll(/\{\w+\}/g, 'x').split('?')
  httpUrl(
    'https://example.auth.eu-west-1.amazoncognito.com/logout?client_id={client_id}&logout_uri={return_url}',
  )(beforeQuery)
  return text
}

/** The URL itself, if it has one of the known forms. */
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
