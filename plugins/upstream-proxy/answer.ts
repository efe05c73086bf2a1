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
