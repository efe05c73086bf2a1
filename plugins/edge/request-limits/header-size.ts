import { maxHeaderBytes } from '../../../http/limits.ts'
import { GatewayError } from '../../errors/catalogue.ts'

/**
 * What is wrong with a request whose headers are too large: Node's parser sees to that for HTTP/1.1, but lets HTTP/2
 * have more and then resets the stream without a word. Cookies count as the one field that they are by HTTP/1.1.
 *
 * @param rawHeaders names and values in turn
 */
export function headerSizeFault(rawHeaders: readonly string[], url: string): GatewayError | undefined {
  let size = 0
  let cookies = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i], rawHeaders[i + 1]]
    const separator = name === 'cookie' && cookies++ > 0 ? '; ' : name
    size += separator.length + value.length
  }
  if (size <= maxHeaderBytes) return undefined
  return new GatewayError(url.length > maxHeaderBytes ? 'BFF_URL_TOO_LONG' : 'BFF_HEADERS_TOO_LARGE')
}
