import { finished } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import type { UpstreamOptions } from '../../config/index.ts'
import { ignore } from '../edge/sockets.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { type AnswerReceiver, dropUpload, Exchange, type UpstreamRequest } from './exchange.ts'
import { createPool } from './pool.ts'
import { createSlots } from './slots.ts'
import type { UpstreamAnswer } from './upstream-answer.ts'

/** Sends requests to one upstream over connections that are kept open. */
export interface Forwarder {
  /**
   * Sends a request, and repeats it once only if the upstream states that it did not process it (which undici does, over
   * HTTP/2), or if a reused connection was closed before any byte of the answer to a GET or HEAD.
   */
  send(request: UpstreamRequest, receiver: AnswerReceiver): Sending
  close(): Promise<void>
}

export interface Sending {
  /** Cancels the request, or the rest of its answer. The receiver hears no more of it. */
  abort(): void
}

export function createForwarder(upstream: UpstreamOptions): Forwarder {
  const pool = createPool(upstream)
  const slots = upstream.connections === undefined ? undefined : createSlots(upstream.connections)

  function send(request: UpstreamRequest, receiver: AnswerReceiver, release?: () => void): Sending {
    const exchange = new Exchange(pool, request, receiver, release)
    exchange.send()
    return exchange
  }

  /** @throws GatewayError BFF_UPSTREAM_TIMEOUT when no connection becomes free in time */
  function sendInTurn(request: UpstreamRequest, receiver: AnswerReceiver): Sending {
    const waiting = new AbortController()
    const tooLong = AbortSignal.timeout(upstream.timeoutMs)
    let sending: Sending = { abort: () => waiting.abort() }
    slots?.acquire(AbortSignal.any([waiting.signal, tooLong])).then(
      (release) => {
        // The browser may have disconnected after the slot was given to this request.
        if (waiting.signal.aborted) release()
        else sending = send(request, receiver, release)
      },
      (cause: unknown) => {
        dropUpload(request.body)
        if (!waiting.signal.aborted) receiver.failed(new GatewayError('BFF_UPSTREAM_TIMEOUT', { cause }))
      },
    )
    return { abort: () => sending.abort() }
  }

  return { send: slots ? sendInTurn : send, close: () => pool.destroy() }
}

/** How much of a discarded answer is drained at most, in milliseconds and bytes. */
const drainingMs = 1000
const drainedBytes = 128 * 1024

/** Reads the rest of an unneeded answer, so that its connection can be reused. A long or slow one is cut off. */
export async function drain(answer: UpstreamAnswer): Promise<void> {
  if (answer.whole === undefined) {
    const { body } = answer
    let left = drainedBytes
    body.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) body.destroy()
    })
    const tooLong = setTimeout(() => body.destroy(), drainingMs)
    await finished(body).catch(() => {})
    clearTimeout(tooLong)
  }
  // undici releases a connection one turn of the event loop after its answer has ended.
  await turn()
}

/** Aborts an unneeded answer, which closes its connection. */
export function discard(answer: UpstreamAnswer): void {
  if (answer.whole === undefined) answer.body.on('error', ignore).destroy()
}
