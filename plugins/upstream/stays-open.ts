import type { ServerResponse } from 'node:http'
import type { Session } from '../session/sessions.ts'
import type { OpenStreams } from '../session/streams/open-streams.ts'
import { isEventStream } from './answer.ts'
import { discard, type UpstreamAnswer } from './forwarder.ts'
import { limitLingering } from './tunnel.ts'

/**
 * Sees that an answer which stays open for long does not outlive the session that asked for it: an event stream, and
 * whatever else lasts for longer than an answer may take to begin.
 *
 * @param response through which the answer is about to go
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
    // Its headers could not say that it is the last answer, and a server that closes waits for its connections.
    if (httpVersionMajor === 1) response.once('finish', () => socket.destroySoon())
    body.unpipe(response)
    response.end()
    limitLingering(response)
  }
  try {
    openStreams.open(session, response, () => {
      // While closing it ends as soon as it has begun.
      if (response.headersSent) end()
      else response.once('pipe', () => setImmediate(end))
    })
  } catch (error) {
    discard(answer)
    throw error
  }
}
