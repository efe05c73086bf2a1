import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { ignore } from '../edge/sockets.ts'
import type { IncomingHeaders } from './response-headers.ts'

/** An upstream's answer. */
export interface UpstreamAnswer {
  readonly statusCode: number
  readonly headers: IncomingHeaders
  /** Complete once the body has ended. */
  readonly trailers: IncomingHeaders
  /** The body, if it had arrived as a whole when the answer was delivered. */
  readonly whole?: Buffer | undefined
  /** Occupies the connection until it has been read, drained or discarded. */
  readonly body: Readable
}

/** How much of a body is buffered before it is read, in bytes. */
const maxBuffered = 128 * 1024

/** An answer that undici is receiving. Most have arrived as a whole when they are delivered, and need no stream. */
export class ReceivedAnswer implements UpstreamAnswer {
  readonly statusCode: number
  readonly headers: IncomingHeaders
  trailers: IncomingHeaders = {}
  readonly #controller: Dispatcher.DispatchController
  readonly #chunks: Buffer[] = []
  #buffered = 0
  #stream: Readable | undefined
  #isComplete = false
  #error: Error | undefined

  constructor(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHeaders) {
    this.#controller = controller
    this.statusCode = statusCode
    this.headers = headers
  }

  get whole(): Buffer | undefined {
    if (!this.#isComplete || this.#stream) return undefined
    const [first = noBytes] = this.#chunks
    return this.#chunks.length > 1 ? Buffer.concat(this.#chunks) : first
  }

  /** Whether it is incomplete and short enough to be buffered. */
  mayComeWhole(): boolean {
    if (this.#isComplete || this.#error) return false
    const length = this.headers['content-length']
    return length !== undefined && Number(length) <= maxBuffered
  }

  get body(): Readable {
    this.#stream ??= this.#begin()
    return this.#stream
  }

  add(chunk: Buffer): void {
    if (this.#stream) {
      if (!this.#stream.push(chunk)) this.#controller.pause()
      return
    }
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered > maxBuffered) this.#controller.pause()
  }

  end(trailers: IncomingHeaders): void {
    this.#isComplete = true
    this.trailers = trailers
    this.#stream?.push(null)
  }

  /** The rest of the body will not come. */
  fail(error: Error): void {
    this.#error = error
    this.#stream?.destroy(error)
  }

  #begin(): Readable {
    const stream = new Readable({
      read: () => this.#controller.resume(),
      destroy: (error, done) => {
        // The connection can't be used again before the whole answer has been read.
        if (!this.#isComplete && !this.#error)
          this.#controller.abort(error ?? new Error('The answer is not needed'))
        done(error)
      },
    })
    // Its reader may have stopped listening when the browser disconnects.
    stream.on('error', ignore)
    for (const chunk of this.#chunks.splice(0)) stream.push(chunk)
    if (this.#isComplete) stream.push(null)
    if (this.#error) stream.destroy(this.#error)
    return stream
  }
}

const noBytes = Buffer.alloc(0)

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
