import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { ignore } from '../edge/sockets.ts'
import type { GatewayError } from '../errors/catalogue.ts'
import { upstreamError } from './report.ts'
import type { Body } from './request-body.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import type { IncomingHeaders } from './response-headers.ts'
import { ReceivedAnswer, type UpstreamAnswer } from './upstream-answer.ts'
import { isClosedUnanswered } from './watched-connection.ts'

export interface UpstreamRequest {
  method: string
  /** Path and query, as in a request line. */
  path: string
  headers: OutgoingHeaders
  body: Body
}

/** Gets what became of a request: one of the two, later than the call that sends it, and none after an abort. */
export interface AnswerReceiver {
  /** The headers have arrived, and of the body what came with them. */
  answered(answer: UpstreamAnswer): void
  /** @param error BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT */
  failed(error: GatewayError): void
}

/** One request to an upstream and its answer, on undici's own callbacks: no promise, signal or stream is needed. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #dispatcher: Dispatcher
  readonly #request: UpstreamRequest
  readonly #receiver: AnswerReceiver
  readonly #release: (() => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  /** Set while the request waits for a connection. */
  #cancel: Cancel | undefined
  #answer: ReceivedAnswer | undefined
  #hasBegun = false
  #isAborted = false
  #isRepeated = false
  #hasWaited = false

  /** @param release called once the upstream's connection is free again */
  constructor(
    dispatcher: Dispatcher,
    request: UpstreamRequest,
    receiver: AnswerReceiver,
    release: (() => void) | undefined,
  ) {
    this.#dispatcher = dispatcher
    this.#request = request
    this.#receiver = receiver
    this.#release = release
  }

  send(): void {
    const { method, path, headers, body } = this.#request
    const options: Dispatcher.DispatchOptions = {
      path,
      headers,
      body,
      method: method as Dispatcher.HttpMethod,
    }
    // By default undici closes the connection after each HEAD, in case the upstream sends a body.
    if (method === 'HEAD') options.reset = false
    const keep = (cancel: Cancel) => {
      this.#cancel = cancel
    }
    this.#dispatcher.dispatch(withQueuedAbort(options, keep), this)
  }

  /** The browser has disconnected. */
  abort(): void {
    this.#isAborted = true
    const reason = new Error('The browser has disconnected')
    // Both: when a request is repeated, the controller is that of the first try.
    this.#controller?.abort(reason)
    this.#cancel?.(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isAborted) controller.abort(new Error('The browser has disconnected'))
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHeaders,
  ): void {
    this.#hasBegun = true
    if (statusCode < 200) return
    if (statusCode > 599) {
      // Node cannot send such a status.
      controller.abort(new RangeError(`The upstream answered with status ${statusCode}`))
      return
    }
    this.#answer = new ReceivedAnswer(controller, statusCode, headers)
    // Once undici has parsed what it has read: often this is the whole answer.
    process.nextTick(deliver, this)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#answer?.add(chunk)
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHeaders): void {
    this.#answer?.end(trailers)
    this.#release?.()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#isAborted && this.#mayRepeat(error)) {
      this.#isRepeated = true
      this.send()
      return
    }
    this.#release?.()
    dropUpload(this.#request.body)
    if (this.#answer) this.#answer.fail(error)
    else if (!this.#isAborted) this.#receiver.failed(upstreamError(error))
  }

  deliver(): void {
    if (!this.#answer || this.#isAborted) return
    if (this.#answer.mayComeWhole() && !this.#hasWaited) {
      // Once the event loop has read all that has arrived.
      this.#hasWaited = true
      setImmediate(deliver, this)
    } else this.#receiver.answered(this.#answer)
  }

  /** Most likely the upstream closed an idle connection just before this request arrived. */
  #mayRepeat(error: Error): boolean {
    const { method, body } = this.#request
    if (this.#isRepeated || this.#hasBegun || body !== null) return false
    return isClosedUnanswered(error) && (method === 'GET' || method === 'HEAD')
  }
}

/** undici leaves it open when it could not connect. The rest of it is then drained, so that the browser reads the answer. */
export function dropUpload(body: Body): void {
  if (body instanceof Readable) body.on('error', ignore).destroy()
}

function deliver(exchange: Exchange): void {
  exchange.deliver()
}

/** Takes a request that waits for a connection out of undici's queue, and reports the reason to its handler. */
type Cancel = (reason: Error) => void

// Internal to undici, whose version is pinned. Without it a request whose browser has left would keep its place in the
// queue, get a connection and close it.
const { kQueuedAbort } = createRequire(import.meta.url)('undici/lib/core/symbols.js') as {
  kQueuedAbort: symbol
}

/** @param onQueued called with the function that cancels the request, if it has to wait */
function withQueuedAbort(
  options: Dispatcher.DispatchOptions,
  onQueued: (cancel: Cancel) => void,
): Dispatcher.DispatchOptions {
  return { ...options, [kQueuedAbort]: onQueued }
}
