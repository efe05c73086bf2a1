import { ServerResponse } from 'node:http'
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
  /** The body, if it had arrived as a whole when the answer was delivered, and is short or in one piece. */
  readonly whole?: Buffer | undefined
  /** Whether the body has arrived to its end. */
  readonly isComplete: boolean
  /** Occupies the connection until it has been read, drained or discarded. */
  readonly body: Readable
}

/** False for most answers. */
export function hasTrailers({ trailers }: Pick<UpstreamAnswer, 'trailers'>): boolean {
  for (const _name in trailers) return true
  return false
}

/** How much of a body is buffered before it is read, in bytes. */
const maxBuffered = 128 * 1024

/** Longer bodies in several pieces are written piece by piece: to copy them together costs more. In bytes. */
const maxCopied = 16 * 1024

/** An answer that undici is receiving. Most have arrived as a whole when they are delivered, and need no stream. */
export class ReceivedAnswer implements UpstreamAnswer {
  readonly statusCode: number
  readonly headers: IncomingHeaders
  trailers: IncomingHeaders = {}
  isComplete = false
  readonly #controller: Dispatcher.DispatchController
  readonly #chunks: Buffer[] = []
  #buffered = 0
  #body: AnswerBody | undefined
  #error: Error | undefined

  constructor(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHeaders) {
    this.#controller = controller
    this.statusCode = statusCode
    this.headers = headers
  }

  get whole(): Buffer | undefined {
    if (!this.isComplete || this.#body) return undefined
    const [first = noBytes] = this.#chunks
    if (this.#chunks.length <= 1) return first
    return this.#buffered <= maxCopied ? Buffer.concat(this.#chunks) : undefined
  }

  /** Whether it is incomplete and short enough to be buffered. */
  mayComeWhole(): boolean {
    if (this.isComplete || this.#error) return false
    const length = this.headers['content-length']
    return length !== undefined && Number(length) <= maxBuffered
  }

  get body(): Readable {
    if (this.#body) return this.#body
    this.#body = new AnswerBody(this.#controller, this.#chunks)
    // Its reader may have stopped listening when the browser disconnects.
    this.#body.on('error', ignore)
    if (this.isComplete) this.#body.end(hasTrailers(this))
    if (this.#error) this.#body.fail(this.#error)
    return this.#body
  }

  add(chunk: Buffer): void {
    if (this.#body) this.#body.add(chunk)
    else {
      this.#chunks.push(chunk)
      this.#buffered += chunk.length
      if (this.#buffered > maxBuffered) this.#controller.pause()
    }
  }

  end(trailers: IncomingHeaders): void {
    this.isComplete = true
    this.trailers = trailers
    this.#body?.end(hasTrailers(this))
  }

  /** The rest of the body will not come. */
  fail(error: Error): void {
    this.#error = error
    this.#body?.fail(error)
  }
}

const noBytes = Buffer.alloc(0)

/**
 * A body as a stream. Piped to a response of HTTP/1.1, each piece is written to it as it comes, with back-pressure, but
 * without the buffer and the events of a stream in between, which take longer than all else about a long answer.
 */
class AnswerBody extends Readable {
  readonly #controller: Dispatcher.DispatchController
  /** What came before the body was read or piped. */
  readonly #early: Buffer[]
  #isStarted = false
  /** Pieces are written to it directly. */
  #response: ServerResponse | undefined
  #isEnded = false
  #hasTrailers = false

  constructor(controller: Dispatcher.DispatchController, early: Buffer[]) {
    super()
    this.#controller = controller
    this.#early = early
  }

  add(chunk: Buffer): void {
    if (!this.#take(chunk)) this.#controller.pause()
  }

  /** @returns whether more may come at once */
  #take(chunk: Buffer): boolean {
    if (this.#response) return !this.#response.destroyed && this.#response.write(chunk)
    if (this.#isStarted) return this.push(chunk)
    this.#early.push(chunk)
    return false
  }

  /** The rest will not come. */
  fail(error: Error): void {
    this.#isEnded = true
    this.destroy(error)
  }

  end(withTrailers: boolean): void {
    this.#isEnded = true
    this.#hasTrailers = withTrailers
    if (this.#response) this.#finish(this.#response)
    else if (this.#isStarted) this.push(null)
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T, options?: { end?: boolean }): T {
    // An application's hook may read the stream, too.
    const isRead = this.#isStarted || this.listenerCount('data') + this.listenerCount('readable') > 0
    const isDirect = destination instanceof ServerResponse && options?.end !== false
    if (isRead || !isDirect || this.destroyed) return super.pipe(destination, options)
    this.#isStarted = true
    this.#response = destination
    destination.emit('pipe', this)
    destination.on('drain', this.#resume)
    let mayGoOn = true
    for (const chunk of this.#early.splice(0)) mayGoOn = destination.write(chunk)
    if (this.#isEnded) this.#finish(destination)
    else if (mayGoOn) this.#controller.resume()
    return destination
  }

  /** The response gets no more of the body, and is not ended by it. */
  override unpipe(destination?: NodeJS.WritableStream): this {
    if (this.#response === undefined) return super.unpipe(destination)
    this.#response.off('drain', this.#resume)
    this.#response = undefined
    return this
  }

  override _read(): void {
    if (!this.#isStarted) {
      this.#isStarted = true
      for (const chunk of this.#early.splice(0)) this.push(chunk)
      if (this.#isEnded) this.push(null)
    }
    this.#controller.resume()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // The connection can't be used again before the whole answer has been read.
    if (!this.#isEnded) this.#controller.abort(error ?? new Error('The answer is not needed'))
    done(error)
  }

  /** All has been written. */
  #finish(response: ServerResponse): void {
    response.off('drain', this.#resume)
    // Emits `end`, whose listener adds the trailers.
    this.push(null)
    this.read(0)
    if (this.#hasTrailers) this.once('end', () => response.end())
    else response.end()
  }

  readonly #resume = () => this.#controller.resume()
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
