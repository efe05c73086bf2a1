import { subscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { outliveGoaway } from './goaway.ts'
import { translateEvents } from './http2-events.ts'
import { answerBegins } from './watched-connection.ts'
import { refuseCutOff } from './whole-answers.ts'

const isOurs = Symbol('an upstream is asked on this connection')

/**
 * What undici would misunderstand of HTTP/2 is put right for each request on this connection. It opens the streams
 * itself and hands none of them out, so they are met as Node creates them.
 */
export function mendStreams(connection: Duplex): void {
  Object.assign(connection, { [isOurs]: true })
}

subscribe('http2.client.stream.created', (message) => {
  const { stream } = message as { stream: ClientHttp2Stream }
  const connection = stream.session?.socket as (Duplex & { [isOurs]?: true }) | undefined
  if (!connection?.[isOurs]) return
  const begin = () => answerBegins(connection)
  stream.once('headers', begin).once('response', begin)
  refuseCutOff(stream)
  translateEvents(stream)
  outliveGoaway(stream)
})
