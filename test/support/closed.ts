interface Closable {
  once(event: 'close', listener: () => void): unknown
  /** Set by streams, responses and sockets. On an HTTP/2 session it only means that it opens no more streams. */
  closed?: boolean
  destroyed?: boolean
  /** WebSockets. */
  readyState?: unknown
  CLOSED?: number
}

/**
 * Resolves when it has closed, with or without an error. Also if it already has: the event can come before the
 * test listens.
 */
export async function closed(emitter: Closable): Promise<void> {
  if (hasClosed(emitter)) return
  await new Promise<void>((resolve) => void emitter.once('close', resolve))
}

function hasClosed({ closed, destroyed, readyState, CLOSED }: Closable): boolean {
  return (closed === true && destroyed === true) || (CLOSED !== undefined && readyState === CLOSED)
}
