import { isReservedHeader } from '../../http/fields.ts'
import { isForbiddenHeader } from '../../http/response-allow-list.ts'
import { headerName, host } from './parsers.ts'

/** Methods that reach upstreams. */
export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export type Method = (typeof methods)[number]

export function method(text: string): Method {
  const known = methods.find((name) => name === text.toUpperCase())
  if (known === undefined) throw new TypeError(`must be one of ${methods.join(', ')}`)
  return known
}

/** Literal segments only, since the router and the proxy must read it alike. */
export function pathPrefix(prefix: string): string {
  const segments = prefix.slice(1).split('/')
  if (!prefix.startsWith('/') || !segments.every((segment) => /^(?!\.{1,2}$)[\w.~-]+$/.test(segment))) {
    throw new TypeError(
      'must be a plain path such as /api or /api/v2: letters, digits, - . _ ~, no slash at the end',
    )
  }
  if (/^\/(bff|healthz|readyz)(\/|$)/.test(prefix)) {
    throw new TypeError("is one of the gateway's own paths (/bff, /healthz, /readyz): choose another")
  }
  return prefix
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
export function scope(value: string): string {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value)) return value
  throw new TypeError('must be scopes with one space between, such as orders.read orders.write')
}

/** @see https://www.rfc-editor.org/rfc/rfc8707#section-2 */
export function resource(value: string): string {
  if (URL.canParse(value) && !value.includes('#')) return value
  throw new TypeError('must be an absolute URI without a fragment, such as https://api.example.com/orders')
}

export function audience(value: string): string {
  if (value !== '') return value
  throw new TypeError('is empty: name the API as the issuer knows it, or leave it out')
}

/** As in a certificate, so no IP address. @see https://www.rfc-editor.org/rfc/rfc6066#section-3 */
export function serverName(text: string): string {
  if (/^[\d.]+$|:/.test(text)) throw new TypeError('must be a host name, such as api.internal.example')
  return host(text)
}

/** A request header that an upstream may get. Lower case. */
export function requestHeader(text: string): string {
  const name = headerName(text)
  if (name === 'cookie') throw new TypeError('is given cookie by cookie: name them in requestCookies')
  if (isReservedHeader(name))
    throw new TypeError('is never passed on, or set by the gateway itself: remove it')
  return name
}

/** A header of an answer that the browser gets besides those that it always gets. Lower case. */
export function responseHeader(text: string): string {
  const name = headerName(text)
  if (name === 'set-cookie') throw new TypeError('is given cookie by cookie: name them in responseCookies')
  if (isForbiddenHeader(name)) {
    throw new TypeError(
      "never reaches a browser, since it speaks for the whole origin or to proxies, or is the gateway's own: remove it",
    )
  }
  return name
}
