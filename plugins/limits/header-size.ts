import { GatewayError } from '../errors/catalogue.ts'
import { maxHeaderBytes } from './limits.ts'

/**
 * What is wrong with a request whose headers are too large: Node's parser sees to that for HTTP/1.1, but lets HTTP/2
 * have four times as much and then resets the stream without a word.
 *
 * @param rawHeaders names and values in turn
 */
export function headerSizeFault(rawHeaders: readonly string[], url: string): GatewayError | undefined {
  let size = 0
  for (const text of rawHeaders) size += text.length
  if (size <= maxHeaderBytes) return undefined
  return new GatewayError(url.length > maxHeaderBytes ? 'BFF_URL_TOO_LONG' : 'BFF_HEADERS_TOO_LARGE')
}
