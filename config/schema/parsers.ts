import { isIP } from 'node:net'
import { looksLikeContent } from './mask.ts'
import { splitList } from './option.ts'

export function host(text: string): string {
  const isName = /^(?!-)[A-Za-z\d-]{1,63}(\.[A-Za-z\d-]{1,63})*$/.test(text) && !/^[\d.]+$/.test(text)
  if (isName || isIP(text.replace(/%[\w.-]+$/, ''))) return text
  throw new TypeError('must be an IP address or host name by itself, such as 0.0.0.0, :: or localhost')
}

/** @see https://fastify.dev/docs/latest/Reference/Server/#trustproxy */
export function trustProxy(text: string): boolean | number | string[] {
  if (text === 'true') return true
  if (text === 'false') return false
  if (/^\d{1,3}$/.test(text)) return Number(text) === 0 ? false : Number(text)
  const networks = splitList(text)
  if (networks.length > 0 && networks.every(isNetwork)) return networks
  throw new TypeError(
    'must be true, false, how many proxies stand in front (such as 1), or their networks (such as 10.0.0.0/8,127.0.0.1)',
  )
}

/** Visible text in one line. @see https://www.rfc-editor.org/rfc/rfc6749#appendix-A */
export function line(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new TypeError('holds a line break or another control character: remove it')
  return text
}

/** Refuses the content of such a file, which is easily given by mistake. */
export function path(text: string): string {
  if (looksLikeContent(text)) throw new TypeError('must be the path of a file, not what the file holds')
  return line(text)
}

/** Any separator between the entries is white space. @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
export function scope(text: string): string {
  const scopes = text.split(/\s+/)
  if (!scopes.every((token) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(token))) {
    throw new TypeError('must be scopes separated by spaces, without quotes or backslashes')
  }
  if (!scopes.includes('openid')) {
    throw new TypeError(
      'must contain openid, as in "openid profile email offline_access" (separated by spaces)',
    )
  }
  return scopes.join(' ')
}

/** Without `none`. @see https://www.rfc-editor.org/rfc/rfc7518#section-3.1 and https://www.rfc-editor.org/rfc/rfc9864 */
const signatureAlgorithms =
  'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 HS256 HS384 HS512'.split(' ')

export function signatureAlgorithm(text: string): string {
  if (signatureAlgorithms.includes(text)) return text
  throw new TypeError(`must be one of ${signatureAlgorithms.join(', ')}`)
}

/** 32 bytes in base64 or base64url. */
export function key(text: string): Buffer {
  if (/^[A-Za-z\d+/_-]{43}=?$/.test(text)) return Buffer.from(text, 'base64')
  throw new TypeError(`must be base64 of 32 bytes: ${makeKey}`)
}

export const makeKey = 'make one with: node -p "crypto.randomBytes(32).toString(\'base64\')"'

/** A bearer token that can't be guessed. @see https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
export function adminToken(text: string): string {
  if (!/^[\w.~+/-]{32,512}=*$/.test(text))
    throw new TypeError(`must be at least 32 letters, digits, -, ., _, ~, + or /: ${makeKey}`)
  if (isPattern(text)) throw new TypeError(`can be guessed, as it is not random: ${makeKey}`)
  return text
}

/** Repetitions and sequences. Of 32 random hexadecimal digits almost all triples and steps are distinct. */
function isPattern(text: string): boolean {
  const triples = [...text.slice(2)].map((_, at) => text.slice(at, at + 3))
  const steps = [...text.slice(1)].map((_, at) => text.charCodeAt(at + 1) - text.charCodeAt(at))
  return new Set(triples).size < (triples.length * 3) / 4 || new Set(steps).size < 8
}

/** @see https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1 */
export function cookieName(text: string): string {
  if (isToken(text)) return notInherited(text)
  throw new TypeError('must be a cookie name of at most 100 letters, digits, - and _, such as bff')
}

/** Lower case. @see https://www.rfc-editor.org/rfc/rfc9110#section-5.1 */
export function headerName(text: string): string {
  if (isToken(text)) return text.toLowerCase()
  throw new TypeError('must be the name of a header, such as accept-language')
}

export function displayName(text: string): string {
  if (/^[^\p{Cc}]{1,60}$/u.test(text)) return text
  throw new TypeError('must be a text of at most 60 characters in one line')
}

export function color(text: string): string {
  if (/^#([\da-f]{3}|[\da-f]{6})$/i.test(text)) return text.toLowerCase()
  throw new TypeError('must be a colour as #rrggbb, such as #2457a6')
}

/** A response header, lower case. With credentials `*` stands for itself, and no script can read `Set-Cookie`. */
export function exposedHeader(text: string): string {
  const name = headerName(text)
  if (name !== '*' && !name.startsWith('set-cookie')) return name
  throw new TypeError('must name single headers that scripts can read, such as x-total-count')
}

/**
 * A header for which browsers send a preflight when another site's page sets it. Headers that
 * need no preflight would allow forged requests, and those that scripts can't set would lock out every client.
 *
 * @returns lower case
 * @see https://fetch.spec.whatwg.org/#cors-safelisted-request-header
 * @see https://fetch.spec.whatwg.org/#forbidden-request-header
 */
export function customHeader(text: string): string {
  const name = text.toLowerCase()
  if (!isToken(name)) throw new TypeError('must be a header name of letters, digits and -, such as x-csrf')
  if (standardHeaders.has(name) || /^(sec|proxy|access-control|x-forwarded)-/.test(name)) {
    throw new TypeError(
      'must be a header of your own, such as x-csrf: browsers and proxies treat this one specially',
    )
  }
  return notInherited(name)
}

/** Cookies and headers of a request are members of objects, where these names exist even if nothing was sent. */
function notInherited(name: string): string {
  if (name in Object.prototype)
    throw new TypeError('must be another name: this one means something to JavaScript')
  return name
}

const standardHeaders = new Set(
  'accept accept-charset accept-encoding accept-language authorization connection content-language content-length content-type cookie cookie2 date dnt expect forwarded host keep-alive origin permissions-policy range referer set-cookie te trailer transfer-encoding upgrade user-agent via'.split(
    ' ',
  ),
)

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 */
function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~\dA-Za-z-]{1,100}$/.test(text)
}

function isNetwork(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(bits ?? 0) <= (family === 4 ? 32 : 128)
}
