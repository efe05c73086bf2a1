import type { ServerResponse } from 'node:http'
import type { UpstreamAnswer } from './forwarder.ts'
import type { ResponseHeaderRules } from './response-headers.ts'
import { fieldsFor } from './single-values.ts'
import { responseTrailers } from './trailers.ts'

/** A stream may have nothing to say for a long time, and the browser wants to know that it has begun. */
export function sendHeadersAtOnce(response: ServerResponse, { headers, body }: UpstreamAnswer): void {
  // A turn later, by which time most answers have their first bytes and go out in one piece.
  if (headers['content-length'] === undefined) {
    response.once('pipe', () => setImmediate(() => response.headersSent || response.flushHeaders()))
  }
  // One that breaks off before its first byte has begun too: its headers can't be taken back for an error's.
  body.once('error', () => response.flushHeaders())
}

/** Those of the upstream, once its body has been read. */
export function sendTrailers(
  response: ServerResponse,
  { headers, trailers, body }: UpstreamAnswer,
  rules: ResponseHeaderRules,
): void {
  body.once('end', () => {
    const passed = responseTrailers(trailers, headers, rules)
    if (Object.keys(passed).length === 0) return
    // The length of an empty answer would leave no room for them.
    response.flushHeaders()
    response.addTrailers(fieldsFor(response, passed))
  })
}

export function isEventStream({ headers }: Pick<UpstreamAnswer, 'headers'>): boolean {
  return /^\s*text\/event-stream\s*(;|,|$)/i.test(String(headers['content-type']))
}

const name = 'content-length'
const [lineFeed, carriageReturn, two, underscore] = [0x0a, 0x0d, 0x32, 0x5f]

/**
 * Reads the heads of an answer by HTTP/1.1 as far as is needed to mend, in place, what undici takes for a fault:
 *
 * - `100 Continue` that was not asked for becomes `102 Processing`, which is skipped. HTTP allows both at any time.
 * - `Content-Length` of a 204 or 304, which says how long another answer would be, becomes a header of no meaning:
 *   undici would miss that body, and close the connection.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.2
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.6
 */
export class AnswerHead {
  /** What comes is a body, or nothing that is expected. */
  isOver = true
  /** An interim answer has come, and no other yet. */
  isInterim = false
  #status = 0
  #inStatusLine = true
  /** In the current line. */
  #offset = 0
  /** All of the current line so far is as in `name`. */
  #isName = false

  /** A request has been sent: what comes next is an answer's head. */
  expect(): void {
    this.isOver = false
    this.isInterim = false
    this.#begin()
  }

  /** @param chunk as it came, which may begin and end anywhere */
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
    this.#isName &&= (byte | 0x20) === name.charCodeAt(this.#offset)
    if (this.#isName && this.#offset === name.length - 1 && this.#isBodiless()) chunk[i] = underscore
    this.#offset++
  }

  #beginLine(): void {
    this.#inStatusLine = false
    this.#offset = 0
    this.#isName = true
  }

  #isBodiless(): boolean {
    return this.#status === 204 || this.#status === 304
  }
}
