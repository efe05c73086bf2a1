import { setImmediate as turn } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { createPool } from './pool.ts'
import { upstreamError } from './report.ts'
import type { Body } from './request-body.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { createSlots, type Slots } from './slots.ts'
import { isClosedUnanswered } from './watched-connection.ts'

export interface UpstreamRequest {
  method: string
  /** Path and query, as in a request line. */
  path: string
  headers: OutgoingHeaders
  body: Body
  /** Aborts when the browser disconnects. */
  signal: AbortSignal
}

export type UpstreamAnswer = Dispatcher.ResponseData

/** Sends requests to one upstream over connections that are kept open. */
export interface Forwarder {
  /**
   * Sends a request, and repeats it once only if the upstream states that it did not process it (which undici does, over
   * HTTP/2), or if a reused connection was closed before any byte of the answer to a GET or HEAD. Resolves with the headers; the body streams
   * and occupies its connection until it has been read, drained or discarded.
   * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
   */
  send(request: UpstreamRequest): Promise<UpstreamAnswer>
  close(): Promise<void>
}

export function createForwarder(upstream: UpstreamOptions): Forwarder {
  const pool = createPool(upstream)
  const slots = upstream.connections === undefined ? undefined : createSlots(upstream.connections)

  function dispatch({ method, ...request }: UpstreamRequest, onInfo: () => void) {
    // By default undici closes the connection after each HEAD, in case the upstream sends a body.
    const kept = method === 'HEAD' ? { reset: false } : {}
    return pool.request({ ...request, ...kept, method: method as Dispatcher.HttpMethod, onInfo })
  }

  return {
    async send(request) {
      const release = slots && (await acquireSlot(slots, request.signal, upstream.timeoutMs))
      let isAnswering = false
      const onInfo = () => {
        isAnswering = true
      }
      const answer = await dispatch(request, onInfo)
        .catch((error: unknown) => {
          if (!isAnswering && mayRepeat(request, error)) return dispatch(request, onInfo)
          throw error
        })
        .catch((error: unknown) => {
          release?.()
          throw upstreamError(error)
        })
      if (release) answer.body.once('close', release)
      if (answer.statusCode < 600) return answer
      // Node cannot send such a status.
      discard(answer)
      throw upstreamError(new RangeError(`The upstream answered with status ${answer.statusCode}`))
    },
    async close() {
      await pool.destroy()
    },
  }
}

function mayRepeat({ method, body, signal }: UpstreamRequest, error: unknown): boolean {
  if (signal.aborted || body !== null) return false
  return isClosedUnanswered(error) && (method === 'GET' || method === 'HEAD')
}

/** @throws GatewayError BFF_UPSTREAM_TIMEOUT when no connection becomes free in time */
async function acquireSlot(slots: Slots, disconnected: AbortSignal, timeoutMs: number): Promise<() => void> {
  const tooLong = AbortSignal.timeout(timeoutMs)
  return slots.acquire(AbortSignal.any([disconnected, tooLong])).catch((cause: unknown) => {
    throw tooLong.aborted ? new GatewayError('BFF_UPSTREAM_TIMEOUT', { cause }) : cause
  })
}

/** How much of a discarded answer is drained at most, in milliseconds and bytes. */
const drainingMs = 1000
const drainedBytes = 128 * 1024

/** Reads the rest of an unneeded answer, so that its connection can be reused. A long or slow one is cut off. */
export async function drain({ body }: UpstreamAnswer): Promise<void> {
  await body.dump({ limit: drainedBytes, signal: AbortSignal.timeout(drainingMs) }).catch(() => {})
  // undici releases a connection one turn of the event loop after its answer has ended.
  await turn()
}

/** Aborts an unneeded answer, which closes its connection. */
export function discard({ body }: UpstreamAnswer): void {
  body.on('error', () => {}).destroy()
}
