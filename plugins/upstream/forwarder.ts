import { setImmediate as turn } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { isUnprocessed } from './http2.ts'
import { createPool } from './pool.ts'
import { upstreamError } from './report.ts'
import { type Body, isReplayable } from './request-body.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { createSlots, type Slots } from './slots.ts'
import { isUnheard } from './watched-connection.ts'

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
   * Sends a request once, and once more only if the upstream says that it did nothing about it, or closed a connection
   * that was used before without a word about a GET or HEAD. Resolves with the headers; the body streams, and keeps its connection until it was read, drained or discarded.
   * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
   */
  send(request: UpstreamRequest): Promise<UpstreamAnswer>
  close(): Promise<void>
}

export function createForwarder(upstream: UpstreamOptions): Forwarder {
  const pool = createPool(upstream)
  const slots = upstream.connections === undefined ? undefined : createSlots(upstream.connections)
  let http1Pool = upstream.http2 ? undefined : pool

  function ask({ method, body, ...request }: UpstreamRequest) {
    // By HTTP/2 undici sends no body with these.
    const isSafe = method === 'GET' || method === 'HEAD'
    if (isSafe && body !== null) http1Pool ??= createPool({ ...upstream, http2: false })
    const suitable = isSafe && body !== null && http1Pool ? http1Pool : pool
    // It would close the connection after each HEAD, lest the upstream sends a body.
    const kept = method === 'HEAD' ? { reset: false } : {}
    return suitable.request({ ...request, ...kept, method: method as Dispatcher.HttpMethod, body })
  }

  return {
    async send(request) {
      const release = slots && (await takeTurn(slots, request.signal, upstream.timeoutMs))
      const answer = await ask(request)
        .catch((error: unknown) => {
          if (mayRepeat(request, error)) return ask(request)
          throw error
        })
        .catch((error: unknown) => {
          release?.()
          throw upstreamError(error)
        })
      if (release) answer.body.once('close', release)
      if (answer.statusCode < 600) return answer
      // No status that Node would send on.
      discard(answer)
      throw upstreamError(new RangeError(`The upstream answered with status ${answer.statusCode}`))
    },
    async close() {
      await Promise.all([pool.destroy(), http1Pool !== pool && http1Pool?.destroy()])
    },
  }
}

function mayRepeat({ method, body, signal }: UpstreamRequest, error: unknown): boolean {
  if (signal.aborted) return false
  if (isUnprocessed(error)) return isReplayable(body)
  return isUnheard(error) && body === null && (method === 'GET' || method === 'HEAD')
}

/** @throws GatewayError BFF_UPSTREAM_TIMEOUT when all connections are in use for too long */
async function takeTurn(slots: Slots, gone: AbortSignal, timeoutMs: number): Promise<() => void> {
  const tooLong = AbortSignal.timeout(timeoutMs)
  return slots.take(AbortSignal.any([gone, tooLong])).catch((cause: unknown) => {
    throw tooLong.aborted ? new GatewayError('BFF_UPSTREAM_TIMEOUT', { cause }) : cause
  })
}

/** What is still read, in milliseconds and bytes, of an answer that nobody wants. */
const drainingMs = 1000
const drainedBytes = 128 * 1024

/** Reads an answer that nobody wants to its end, so that its connection can serve the next request. */
export async function drain({ body }: UpstreamAnswer): Promise<void> {
  // One that is long or slow is cut off.
  await body.dump({ limit: drainedBytes, signal: AbortSignal.timeout(drainingMs) }).catch(() => {})
  // undici gives a connection free a turn after its answer has ended.
  await turn()
}

/** Ends an answer that nobody wants, and its connection with it. */
export function discard({ body }: UpstreamAnswer): void {
  body.on('error', () => {}).destroy()
}
