import { isOurs } from '../upstream-proxy/request-headers.ts'
import { isUpstreamsOwn } from '../upstream-proxy/response-headers.ts'
import { headerName, type Parser } from './parsers.ts'

/** A request header that an upstream may get. Lower case. */
export const requestHeader: Parser<string> = (text) => {
  const name = headerName(text)
  if (name === 'cookie') throw new TypeError('is given cookie by cookie: name them in requestCookies')
  if (isOurs(name)) throw new TypeError('is never passed on, or set by the gateway itself: remove it')
  return name
}

/** A header of an answer that the browser may get. Lower case. */
export const responseHeader: Parser<string> = (text) => {
  const name = headerName(text)
  if (name === 'set-cookie') throw new TypeError('is given cookie by cookie: name them in responseCookies')
  if (isUpstreamsOwn(name)) throw new TypeError('never reaches a browser: remove it')
  return name
}
