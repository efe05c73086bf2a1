import { subscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { outliveGoaway } from './goaway.ts'
import { translateEvents } from './http2-events.ts'

const isOurs = Symbol('an upstream is asked on this connection')

/** From now on an answer by HTTP/2 on this connection ends as whole only if the upstream said that it does. */
export function demandWholeAnswers(connection: Duplex): void {
  Object.assign(connection, { [isOurs]: true })
}

subscribe('http2.client.stream.created', (message) => {
  const { stream } = message as { stream: ClientHttp2Stream }
  const connection = stream.session?.socket as { [isOurs]?: true } | undefined
  if (!connection?.[isOurs]) return
  refuseCutOff(stream)
  translateEvents(stream)
  outliveGoaway(stream)
})

/** Node, and undici with it, takes a stream that was reset with CANCEL or NO_ERROR for one that has ended. */
function refuseCutOff(stream: ClientHttp2Stream): void {
  const push = stream.push.bind(stream)
  let isWhole = false
  stream.push = (chunk) => {
    if (chunk !== null) return push(chunk)
    isWhole ||= !stream.closed
    if (isWhole) return push(chunk)
    // Node goes on with the stream right after.
    process.nextTick(() => stream.destroy(new Error(`The upstream reset its answer with ${stream.rstCode}`)))
    return false
  }
}
