import type { ServerResponse } from 'node:http'
import type { ResponseHeaderRules } from './response-headers.ts'
import { fieldsFor } from './single-values.ts'
import { hasTrailers, responseTrailers } from './trailers.ts'
import type { UpstreamAnswer } from './upstream-answer.ts'

/** Sends the headers of a streamed answer before its first byte, since a stream may stay silent for a long time. */
export function sendHeadersAtOnce(response: ServerResponse, { headers, body }: UpstreamAnswer): void {
  // One turn of the event loop later: most answers have their first bytes by then and go out in one write.
  if (headers['content-length'] === undefined) {
    response.once('pipe', () => setImmediate(() => response.headersSent || response.flushHeaders()))
  }
  // If the body fails before its first byte, the response must break off, not become an error response.
  body.once('error', () => response.flushHeaders())
}

/** Sends the upstream's trailers once its body has been read. */
export function sendTrailers(
  response: ServerResponse,
  answer: UpstreamAnswer,
  rules: ResponseHeaderRules,
): void {
  answer.body.once('end', () => {
    const passed = responseTrailers(answer.trailers, answer.headers, rules)
    if (Object.keys(passed).length === 0) return
    // For an empty body Node would add `Content-Length`, which leaves no place for trailers.
    response.flushHeaders()
    response.addTrailers(fieldsFor(response, passed))
  })
}

/** Whether a body can be sent without a stream: Fastify would replace a missing or malformed type, and allows no trailers. */
export function mayBeSentWhole(whole: Buffer, answer: UpstreamAnswer): boolean {
  const type = answer.headers['content-type']
  const hasType = typeof type === 'string' && /^[\w.+-]+\/[\w.+-]+\s*(;|$)/.test(type)
  return (hasType || whole.length === 0) && !hasTrailers(answer)
}

export function isEventStream({ headers }: Pick<UpstreamAnswer, 'headers'>): boolean {
  return /^\s*text\/event-stream\s*(;|,|$)/i.test(String(headers['content-type']))
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
