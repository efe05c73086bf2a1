import type { IncomingMessage, ServerResponse } from 'node:http'
import type { UpstreamOptions } from '../../config/index.ts'
import type { Session } from '../session/session.ts'
import type { OpenStreams } from '../session/streams/open-streams.ts'
import {
  type Fields,
  fieldsFor,
  mergedVary,
  type ResponseHeaderRules,
  responseHeaders,
} from './response-headers.ts'
import { stepUpUrl } from './step-up.ts'
import { announcedTrailers, carriesTrailers, responseTrailers } from './trailers.ts'
import { limitLingering } from './tunnel.ts'
import { discard, hasTrailers, type UpstreamAnswer } from './upstream-answer.ts'

export interface RespondOptions {
  upstream: UpstreamOptions
  rules: ResponseHeaderRules
  /** The gateway's login URL, as the browser sees it. */
  loginUrl: string
  openStreams: OpenStreams
}

/** The part of Fastify's request that is needed here. */
interface AnsweredRequest {
  raw: IncomingMessage
  userSession: Session | null
}

/** The part of Fastify's reply that is needed here. */
interface Reply {
  raw: ServerResponse
  code(statusCode: number): unknown
  hasHeader(name: string): boolean
  getHeader(name: string): unknown
  headers(fields: Fields): unknown
  send(payload: unknown): unknown
}

/** Sends an upstream's answer to the browser. @throws GatewayError as {@link endWithSession} does */
export type Respond = (answer: UpstreamAnswer, request: AnsweredRequest, reply: Reply) => void

export function createRespond({ upstream, rules, loginUrl, openStreams }: RespondOptions): Respond {
  return function respond(answer, request, reply) {
    const headers = responseHeaders(answer.headers, rules)
    // Without the CSRF check, any page of the same site could embed the answer or run it as a script.
    if (!upstream.csrf) headers['cross-origin-resource-policy'] ??= 'same-origin'
    if (isEventStream(answer)) headers['x-accel-buffering'] = 'no'
    if (answer.statusCode === 401 && request.userSession) {
      const stepUp = stepUpUrl(answer.headers['www-authenticate'], loginUrl)
      if (stepUp !== undefined) headers['bff-login-url'] = stepUp
    }
    if (reply.hasHeader('vary')) headers['vary'] = varyHeader(reply, rules, headers['vary'])
    reply.code(answer.statusCode)
    const { whole } = answer
    if (whole && mayBeSentWhole(whole, answer)) {
      if (answer.statusCode === 204) {
        delete headers['content-type']
        delete headers['content-length']
      }
      reply.headers(fieldsFor(reply.raw, headers))
      // Without a payload Fastify adds no length to the answer to a HEAD.
      reply.send(whole.length > 0 ? whole : undefined)
      return
    }
    if (!answer.isComplete)
      endWithSession(openStreams, request.userSession, answer, reply.raw, upstream.timeoutMs)
    if (carriesTrailers(request.raw, answer)) {
      const announced = announcedTrailers(answer.headers, rules)
      if (announced !== '') headers['trailer'] = announced
      sendTrailers(reply.raw, answer, rules)
    }
    reply.headers(fieldsFor(reply.raw, headers))
    sendHeadersAtOnce(reply.raw, answer)
    reply.send(answer.body)
  }
}

/** `Vary` of an answer: ours, and what others have set. */
export function varyHeader(
  reply: Pick<Reply, 'getHeader'>,
  { perUser }: Pick<ResponseHeaderRules, 'perUser'>,
  ...more: (string | string[] | undefined)[]
): string {
  const ours = reply.getHeader('vary')
  return mergedVary(perUser ? 'Cookie' : undefined, ours === undefined ? undefined : String(ours), ...more)
}

/** Whether a body can be sent without a stream: Fastify would replace a missing or malformed type, and allows no trailers. */
function mayBeSentWhole(whole: Buffer, answer: UpstreamAnswer): boolean {
  const type = answer.headers['content-type']
  const hasType = typeof type === 'string' && /^[\w.+-]+\/[\w.+-]+\s*(;|$)/.test(type)
  return (hasType || whole.length === 0) && !hasTrailers(answer)
}

/** Sends the headers of a streamed answer before its first byte, since a stream may stay silent for a long time. */
function sendHeadersAtOnce(response: ServerResponse, { headers, body }: UpstreamAnswer): void {
  // One turn of the event loop later: most answers have their first bytes by then and go out in one write.
  if (headers['content-length'] === undefined) {
    response.once('pipe', () => setImmediate(() => response.headersSent || response.flushHeaders()))
  }
  // If the body fails before its first byte, the response must break off, not become an error response.
  body.once('error', () => response.flushHeaders())
}

/** Sends the upstream's trailers once its body has been read. */
function sendTrailers(response: ServerResponse, answer: UpstreamAnswer, rules: ResponseHeaderRules): void {
  answer.body.once('end', () => {
    const passed = responseTrailers(answer.trailers, answer.headers, rules)
    if (Object.keys(passed).length === 0) return
    // For an empty body Node would add `Content-Length`, which leaves no place for trailers.
    response.flushHeaders()
    response.addTrailers(fieldsFor(response, passed))
  })
}

/**
 * Ends a long answer with the session that requested it: an event stream at any time, any other answer once it has
 * lasted longer than the upstream's time-out.
 *
 * @param response to which the answer is about to be sent
 * @param timeoutMs the upstream's time-out
 * @throws GatewayError BFF_RATE_LIMITED when the session has too many event streams open; the answer is discarded
 */
export function endWithSession(
  openStreams: OpenStreams,
  session: Session | null,
  answer: UpstreamAnswer,
  response: ServerResponse,
  timeoutMs: number,
): void {
  if (isEventStream(answer)) openEventStream(openStreams, session, answer, response)
  else if (session) {
    const timer = setTimeout(() => openStreams.endWith(session, response), timeoutMs).unref()
    response.once('close', () => clearTimeout(timer))
  }
}

function openEventStream(
  openStreams: OpenStreams,
  session: Session | null,
  answer: UpstreamAnswer,
  response: ServerResponse,
): void {
  const { body } = answer
  const { socket, httpVersionMajor } = response.req
  const end = () => {
    // Close the socket ourselves: the headers went out without `Connection: close`, and a server that is shutting down
    // would wait for the connection.
    if (httpVersionMajor === 1) response.once('finish', () => socket.destroySoon())
    body.unpipe(response)
    response.end()
    limitLingering(response)
  }
  try {
    openStreams.open(session, response, () => {
      // When the gateway is already closing, the stream ends as soon as it has started.
      if (response.headersSent) end()
      else response.once('pipe', () => setImmediate(end))
    })
  } catch (error) {
    discard(answer)
    throw error
  }
}

function isEventStream({ headers }: Pick<UpstreamAnswer, 'headers'>): boolean {
  return /^\s*text\/event-stream\s*(;|,|$)/i.test(String(headers['content-type']))
}
