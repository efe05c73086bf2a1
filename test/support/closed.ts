interface Closable {
  once(event: 'close', listener: () => void): unknown
  /** Streams, responses and sockets. Of an HTTP/2 session it only says that it opens no more streams. */
  closed?: boolean
  destroyed?: boolean
  /** WebSockets. */
  readyState?: unknown
  CLOSED?: number
}

/**
 * Resolves when it has closed, with an error or without. Also if it already has: the event can come before the
 * test listens.
 */
export async function closed(emitter: Closable): Promise<void> {
  if (hasClosed(emitter)) return
  await new Promise<void>((resolve) => void emitter.once('close', resolve))
}

function hasClosed({ closed, destroyed, readyState, CLOSED }: Closable): boolean {
  return (closed === true && destroyed === true) || (CLOSED !== undefined && readyState === CLOSED)
}
