import { isOurs } from '../upstream-proxy/request-headers.ts'
import { isUpstreamsOwn } from '../upstream-proxy/response-allow-list.ts'
import { headerName, type Parser } from './parsers.ts'

/** A request header that an upstream may get. Lower case. */
export const requestHeader: Parser<string> = (text) => {
  const name = headerName(text)
  if (name === 'cookie') throw new TypeError('is given cookie by cookie: name them in requestCookies')
  if (isOurs(name)) throw new TypeError('is never passed on, or set by the gateway itself: remove it')
  return name
}

/** A header of an answer that the browser gets besides those that it gets anyway. Lower case. */
export const responseHeader: Parser<string> = (text) => {
  const name = headerName(text)
  if (name === 'set-cookie') throw new TypeError('is given cookie by cookie: name them in responseCookies')
  if (isUpstreamsOwn(name)) {
    throw new TypeError(
      "never reaches a browser, since it speaks for the whole origin or to proxies, or is the gateway's own: remove it",
    )
  }
  return name
}
