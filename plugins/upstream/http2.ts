import { subscribe } from 'node:diagnostics_channel'
import { type ClientHttp2Stream, constants, type Http2Session, type IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import { answerBegins } from './watched-connection.ts'

type Emit = (event: string | symbol, ...args: unknown[]) => boolean

/** Which streams an upstream leaves unanswered after GOAWAY. */
interface Connection {
  /** Number of streams that have not ended. */
  open: number
  /** Last stream ID that the upstream processes. Streams with a higher ID were and will be ignored. */
  lastProcessed: number
  /** Passes GOAWAY on to undici, which then closes the connection at once. */
  close: () => void
}

const connections = new WeakMap<Http2Session, Connection>()
const unprocessedErrors = new WeakSet<object>()

/**
 * True for the error of a request that the upstream states it did not process: repeating it is safe, whatever its
 * method.
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-6.8
 */
export function isUnprocessed(error: unknown): boolean {
  return error instanceof Error && unprocessedErrors.has(error)
}

/** Delays GOAWAY for undici until open streams are answered. Node opens no new streams on the connection meanwhile. */
export function deferGoaway(stream: ClientHttp2Stream): void {
  const connection = stream.session && connectionOf(stream.session)
  if (!connection) return
  const emit: Emit = stream.emit.bind(stream)
  const close = stream.close.bind(stream)
  let isOpen = true
  const ended = () => {
    if (isOpen) connection.open--
    isOpen = false
    if (connection.open === 0) connection.close()
  }
  connection.open++
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    const [error] = args
    if (error instanceof Error && wasUnprocessed(stream, connection)) unprocessedErrors.add(error)
    const hadListeners = emit(event, ...args)
    if (event === 'end' || event === 'error' || event === 'close') ended()
    return hadListeners
  }
  // After an abort `close` may come late, and undici would keep using the connection.
  stream.close = (...args) => {
    close(...args)
    queueMicrotask(ended)
  }
}

function connectionOf(session: Http2Session): Connection {
  const known = connections.get(session)
  if (known) return known
  const connection: Connection = { open: 0, lastProcessed: Number.POSITIVE_INFINITY, close() {} }
  connections.set(session, connection)
  const emit: Emit = session.emit.bind(session)
  let isLeaving = false
  const leave = (...args: unknown[]) => {
    // Servers may send two: the first only announces the second (RFC 9113, section 6.8).
    if (isLeaving) return
    isLeaving = true
    connection.close = () => {
      connection.close = () => {}
      emit('goaway', ...args)
    }
    if (connection.open === 0) connection.close()
  }
  session.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event !== 'goaway') return emit(event, ...args)
    connection.lastProcessed = Number(args[1])
    leave(...args)
    return true
  }
  // On a connection that allows no streams, undici would wait forever, even if another connection allows some.
  session.on('remoteSettings', ({ maxConcurrentStreams }) => {
    if (maxConcurrentStreams === 0) leave(constants.NGHTTP2_NO_ERROR)
  })
  return connection
}

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-8.7 */
function wasUnprocessed({ id, rstCode }: ClientHttp2Stream, { lastProcessed }: Connection): boolean {
  return Number(id) > lastProcessed || rstCode === constants.NGHTTP2_REFUSED_STREAM
}

const isUpstreamConnection = Symbol('connection to an upstream')

/**
 * Fixes undici's handling of HTTP/2 for each request on this connection. undici does not expose its streams, so they
 * are intercepted when Node creates them.
 */
export function adaptHttp2Streams(connection: Duplex): void {
  Object.assign(connection, { [isUpstreamConnection]: true })
}

subscribe('http2.client.stream.created', (message) => {
  const { stream } = message as { stream: ClientHttp2Stream }
  const connection = stream.session?.socket as (Duplex & { [isUpstreamConnection]?: true }) | undefined
  if (!connection?.[isUpstreamConnection]) return
  const begin = () => answerBegins(connection)
  stream.once('headers', begin).once('response', begin)
  refuseCutOff(stream)
  translateEvents(stream)
  deferGoaway(stream)
})

/** Converts the events of an HTTP/2 answer to the form that undici expects. */
export function translateEvents(stream: ClientHttp2Stream): void {
  const emit: (event: string | symbol, ...args: unknown[]) => boolean = stream.emit.bind(stream)
  let trailers: unknown[] | undefined
  stream.emit = (event: string | symbol, ...[first, ...rest]: unknown[]) => {
    if (event === 'trailers') {
      // undici ends the answer as soon as it gets trailers, even with body data left to read.
      trailers = pairs(first as IncomingHttpHeaders)
      return true
    }
    if (event === 'end' && trailers) emit('trailers', trailers)
    return emit(event, event === 'response' ? inBytes(first as IncomingHttpHeaders) : first, ...rest)
  }
}

/** undici expects trailers as a flat list of names and values, as over HTTP/1.1. */
function pairs(trailers: IncomingHttpHeaders): unknown[] {
  return Object.entries(trailers).flat()
}

/** Node decodes headers as latin1; undici would encode them as UTF-8. As buffers they keep their bytes. */
function inBytes(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, bytesOf(value)]))
}

function bytesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bytesOf)
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value
}

/**
 * Makes a truncated answer fail: Node, and so undici, treats a stream that was reset with CANCEL or NO_ERROR as
 * complete. Only END_STREAM ends an answer normally.
 */
export function refuseCutOff(stream: ClientHttp2Stream): void {
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
