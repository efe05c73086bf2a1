import { type ClientHttp2Stream, constants, type Http2Session } from 'node:http2'

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
