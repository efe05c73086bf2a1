import { clientAttributes, type Tracing } from '../../lib/tracing.ts'
import type { Fetch } from './transport.ts'

/** A span for each request to the issuer that a traced request makes, continued at the issuer. */
export function tracedFetch(fetch: Fetch, tracing: Tracing): Fetch {
  if (!tracing.isOn) return fetch
  return (input, options) => {
    const url = new URL(input)
    const { pathname } = url
    const method = options?.method ?? 'GET'
    const attributes = clientAttributes(method, url, pathname)
    return tracing.clientSpan(`${method} ${pathname}`, attributes, async (span, traceHeaders) => {
      const headers = new Headers(options?.headers)
      for (const [name, value] of Object.entries(traceHeaders)) headers.set(name, value)
      const response = await fetch(input, { ...options, headers })
      span.set({ 'http.response.status_code': response.status })
      if (response.status >= 400) span.fail(String(response.status))
      return response
    })
  }
}
