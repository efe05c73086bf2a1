import { subscribe } from 'node:diagnostics_channel'
import { type ClientHttp2Stream, constants, type Http2Session, type IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import { answerBegins } from './watched-connection.ts'

type Emit = (event: string | symbol, ...args: unknown[]) => boolean

/** What an upstream leaves unanswered when it takes leave of a connection. */
interface Connection {
  /** Streams that have not ended. */
  open: number
  /** No later stream was processed, or will be. */
  lastProcessed: number
  /** Tells undici, which then closes the connection at once. */
  close: () => void
}

const connections = new WeakMap<Http2Session, Connection>()
const ofUnprocessed = new WeakSet<object>()

/**
 * True for the error of a request that the upstream says it never looked at: to send it again is safe, whatever its
 * method.
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-6.8
 */
export function isUnprocessed(error: unknown): boolean {
  return error instanceof Error && ofUnprocessed.has(error)
}

/** Lets what is under way be answered after a GOAWAY. Node sends nothing new on the connection. */
export function outliveGoaway(stream: ClientHttp2Stream): void {
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
    if (error instanceof Error && wasUnprocessed(stream, connection)) ofUnprocessed.add(error)
    const isHeard = emit(event, ...args)
    if (event === 'end' || event === 'error' || event === 'close') ended()
    return isHeard
  }
  // Given up, it may take long to close, and undici would go on to use the connection.
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
    // Of two, the first only gives notice.
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
  // On a connection that allows no streams undici would go on to wait, even after another one allows some.
  session.on('remoteSettings', ({ maxConcurrentStreams }) => {
    if (maxConcurrentStreams === 0) leave(constants.NGHTTP2_NO_ERROR)
  })
  return connection
}

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-8.7 */
function wasUnprocessed({ id, rstCode }: ClientHttp2Stream, { lastProcessed }: Connection): boolean {
  return Number(id) > lastProcessed || rstCode === constants.NGHTTP2_REFUSED_STREAM
}

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

/** Makes the events of an answer by HTTP/2 such that undici understands them. */
export function translateEvents(stream: ClientHttp2Stream): void {
  const emit: (event: string | symbol, ...args: unknown[]) => boolean = stream.emit.bind(stream)
  let trailers: unknown[] | undefined
  stream.emit = (event: string | symbol, ...[first, ...rest]: unknown[]) => {
    if (event === 'trailers') {
      // undici takes the answer for ended once it gets them, however much is still to be read.
      trailers = pairs(first as IncomingHttpHeaders)
      return true
    }
    if (event === 'end' && trailers) emit('trailers', trailers)
    return emit(event, event === 'response' ? inBytes(first as IncomingHttpHeaders) : first, ...rest)
  }
}

/** undici expects trailers as HTTP/1.1 brings them. */
function pairs(trailers: IncomingHttpHeaders): unknown[] {
  return Object.entries(trailers).flat()
}

/** Node has one character for each byte, of which undici would make UTF-8. */
function inBytes(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, bytesOf(value)]))
}

function bytesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bytesOf)
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value
}

/**
 * From now on an answer ends as whole only if the upstream said that it does: Node, and undici with it, takes a stream
 * that was reset with CANCEL or NO_ERROR for one that has ended.
 */
export function refuseCutOff(stream: ClientHttp2Stream): void {
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
