import { maxHeaderBytes } from '../../../http/limits.ts'
import { GatewayError } from '../../errors/catalogue.ts'

/**
 * The error for an HTTP/2 request whose headers are too large. For HTTP/1.1 Node's parser enforces the limit; for HTTP/2
 * Node allows more, and then resets the stream without an answer. Cookies count as one field, as over HTTP/1.1.
 *
 * @param rawHeaders alternating names and values
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
