import type { ServerResponse } from 'node:http'
import type { Session } from '../session/sessions.ts'
import type { OpenStreams } from '../session/streams/open-streams.ts'
import { isEventStream } from './answer.ts'
import { discard } from './forwarder.ts'
import { limitLingering } from './tunnel.ts'
import type { UpstreamAnswer } from './upstream-answer.ts'

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
