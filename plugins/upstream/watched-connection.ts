import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { errors } from 'undici'

/** State of a connection to an upstream. */
interface Watch {
  /** Number of requests sent so far. */
  requests: number
  /** Bytes of an answer to the last request have arrived. Over HTTP/2, where they are not read here, never set. */
  isAnswering: boolean
  head: AnswerHead
  sentAt: number
  deadline?: NodeJS.Timeout | undefined
}

const watches = new WeakMap<Duplex, Watch>()
const unansweredErrors = new WeakSet<object>()

/**
 * True for the error of a request on a reused connection that was closed before any byte of an answer: most likely the
 * upstream closed an idle connection before the request arrived.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1
 */
export function isClosedUnanswered(error: unknown): boolean {
  return error instanceof Error && unansweredErrors.has(error)
}

/**
 * Instruments a connection before undici uses it: patches heads of answers (see {@link AnswerHead}), and enforces the
 * time limit for the final answer, which undici would restart with each interim one.
 *
 * @param timeoutMs to the first byte of the final answer
 */
export function watchConnection(socket: Socket, timeoutMs: number): void {
  const watch: Watch = { requests: 0, isAnswering: false, head: new AnswerHead(), sentAt: 0 }
  watches.set(socket, watch)
  const { head } = watch
  const read = socket.read.bind(socket)
  socket.read = (size) => {
    const chunk = read(size)
    if (chunk === null) return chunk
    watch.isAnswering = true
    if (head.isOver) return chunk
    head.read(chunk)
    if (head.isInterim) watch.deadline ??= startDeadline(watch, socket, watch.sentAt, timeoutMs)
    else clearDeadline(watch)
    return chunk
  }
  socket.on('error', (error) => {
    if (watch.requests > 1 && !watch.isAnswering && isClosing(error)) unansweredErrors.add(error)
  })
  socket.once('close', () => clearDeadline(watch))
}

subscribe('undici:client:sendHeaders', (message) => {
  const watch = watches.get((message as { socket: Socket }).socket)
  if (!watch) return
  watch.requests++
  watch.isAnswering = false
  watch.sentAt = performance.now()
  clearDeadline(watch)
  watch.head.expect()
})

/** Closes the connection after the time-out, unless an upload is still in progress. */
function startDeadline(watch: Watch, socket: Socket, sentAt: number, timeoutMs: number): NodeJS.Timeout {
  const { bytesWritten } = socket
  const remaining = Math.max(0, sentAt + timeoutMs - performance.now())
  const timer = setTimeout(() => {
    if (socket.bytesWritten === bytesWritten) socket.destroy(new errors.HeadersTimeoutError())
    else watch.deadline = startDeadline(watch, socket, performance.now(), timeoutMs)
  }, remaining)
  return timer.unref()
}

function clearDeadline(watch: Watch): void {
  if (watch.deadline) clearTimeout(watch.deadline)
  watch.deadline = undefined
}

function isClosing(error: Error & { code?: string }): boolean {
  return error instanceof errors.SocketError || error.code === 'ECONNRESET' || error.code === 'EPIPE'
}

const contentLength = 'content-length'
const [lineFeed, carriageReturn, two, underscore] = [0x0a, 0x0d, 0x32, 0x5f]

/**
 * Scans the heads of HTTP/1.1 answers and patches in place what is valid but undici treats as an error:
 *
 * - An unrequested `100 Continue` becomes `102 Processing`, which undici skips. HTTP allows both at any time.
 * - `Content-Length` of a 204 or 304, which gives the length of another answer, becomes an unknown header:
 *   undici would report a missing body and close the connection.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.2
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.6
 */
export class AnswerHead {
  /** The next bytes belong to a body, or no answer is expected. */
  isOver = true
  /** An interim (1xx) answer has arrived, and no final one yet. */
  isInterim = false
  #status = 0
  #inStatusLine = true
  /** Position in the current line. */
  #offset = 0
  /** The current line matches `contentLength` so far. */
  #isContentLength = false

  /** Call this when a request has been sent: the next bytes are the head of its answer. */
  expect(): void {
    this.isOver = false
    this.isInterim = false
    this.#begin()
  }

  /** @param chunk may begin and end anywhere in an answer; patched in place */
  read(chunk: Uint8Array): void {
    for (let i = 0; i < chunk.length && !this.isOver; i++) {
      if (this.#inStatusLine) this.#readStatus(chunk, i)
      else this.#readHeader(chunk, i)
    }
  }

  #begin(): void {
    this.#status = 0
    this.#inStatusLine = true
    this.#offset = 0
  }

  #readStatus(chunk: Uint8Array, i: number): void {
    const byte = chunk[i] ?? 0
    if (byte === lineFeed || byte === carriageReturn) {
      if (byte === lineFeed && this.#offset > 0) this.#beginLine()
      return
    }
    // After `HTTP/1.1 `.
    if (this.#offset >= 9 && this.#offset <= 11) this.#status = this.#status * 10 + byte - 0x30
    if (this.#offset === 11) {
      if (this.#status === 100) chunk[i] = two
      this.isInterim = this.#status < 200 && this.#status !== 101
      this.isOver = !this.isInterim && !this.#isBodiless()
    }
    this.#offset++
  }

  #readHeader(chunk: Uint8Array, i: number): void {
    const byte = chunk[i] ?? 0
    if (byte === carriageReturn) return
    if (byte === lineFeed) {
      if (this.#offset > 0) this.#beginLine()
      else if (this.isInterim) this.#begin()
      else this.isOver = true
      return
    }
    this.#isContentLength &&= (byte | 0x20) === contentLength.charCodeAt(this.#offset)
    const isMatched = this.#isContentLength && this.#offset === contentLength.length - 1
    if (isMatched && this.#isBodiless()) chunk[i] = underscore
    this.#offset++
  }

  #beginLine(): void {
    this.#inStatusLine = false
    this.#offset = 0
    this.#isContentLength = true
  }

  #isBodiless(): boolean {
    return this.#status === 204 || this.#status === 304
  }
}
