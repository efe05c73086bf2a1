import { subscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'

type Emit = (event: string | symbol, ...args: unknown[]) => boolean

const isUpstreamConnection = Symbol('connection to an upstream')

/**
 * Fixes what undici and Node lack as HTTP/2 clients, for each request on this connection. undici does not expose its
 * streams, so they are intercepted when Node creates them.
 *
 * test/proxy/undici-faults.test.ts shows each fault without its fix. A test there that fails after an upgrade says that
 * the fix can go.
 */
export function adaptHttp2Streams(connection: Duplex): void {
  Object.assign(connection, { [isUpstreamConnection]: true })
}

subscribe('http2.client.stream.created', (message) => {
  const { stream } = message as { stream: ClientHttp2Stream }
  const connection = stream.session?.socket as (Duplex & { [isUpstreamConnection]?: true }) | undefined
  if (!connection?.[isUpstreamConnection]) return
  refuseCutOff(stream)
  delayTrailers(stream)
})

/** undici stops reading the answer as soon as it gets trailers, even with body data left to read. */
function delayTrailers(stream: ClientHttp2Stream): void {
  const emit: Emit = stream.emit.bind(stream)
  let trailers: unknown[] | undefined
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === 'trailers') {
      trailers = args
      return true
    }
    if (event === 'end' && trailers) emit('trailers', ...trailers)
    return emit(event, ...args)
  }
}

/**
 * Makes a truncated answer fail: Node, and so undici, treats a stream that was reset with CANCEL or NO_ERROR as
 * complete. Only END_STREAM ends an answer normally.
 */
function refuseCutOff(stream: ClientHttp2Stream): void {
  const push = stream.push.bind(stream)
  let isWhole = false
  stream.push = (chunk) => {
    if (chunk !== null) return push(chunk)
    isWhole ||= !stream.closed
    if (isWhole) return push(chunk)
    // Node still works on the stream right after this call.
    process.nextTick(() => stream.destroy(new Error(`The upstream reset its answer with ${stream.rstCode}`)))
    return false
  }
}
