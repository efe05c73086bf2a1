import { type Dispatcher, Pool } from 'undici'
import type { UpstreamOptions } from '../config/options.ts'
import type { Body } from './replayable-body.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { upstreamError } from './upstream-error.ts'

export interface UpstreamRequest {
  method: string
  /** With the query, as it stands in the request line. */
  path: string
  headers: OutgoingHeaders
  body: Body
  /** Aborts when the browser has gone. */
  signal: AbortSignal
}

export type UpstreamAnswer = Dispatcher.ResponseData

/** Connections to one upstream, kept open between requests. */
export interface Forwarder {
  /**
   * Sends a request once, and never by itself again. Resolves with the headers; the body streams.
   * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
   */
  send(request: UpstreamRequest): Promise<UpstreamAnswer>
  close(): Promise<void>
}

export function createForwarder({ target, ca, connectTimeoutMs, timeoutMs }: UpstreamOptions): Forwarder {
  const pool = new Pool(target.origin, {
    connect: { timeout: connectTimeoutMs, ...(ca !== undefined && { ca }) },
    headersTimeout: timeoutMs,
    // To the first byte; what streams may go on for as long as it likes.
    bodyTimeout: 0,
  })

  return {
    async send(request) {
      const answer = await pool
        .request({ ...request, method: request.method as Dispatcher.HttpMethod })
        .catch((error: unknown) => {
          throw upstreamError(error)
        })
      if (answer.statusCode < 600) return answer
      // No status that Node would send on.
      answer.body.on('error', () => {}).destroy()
      throw upstreamError(new RangeError(`The upstream answered with status ${answer.statusCode}`))
    },
    close: () => pool.destroy(),
  }
}
