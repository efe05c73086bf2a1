import { GatewayError } from '../../errors/catalogue.ts'
import type { Session, Sessions } from '../sessions.ts'

/** A connection to a browser, or the response on it. */
export interface Closing {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
  destroy(): unknown
}

export interface OpenStreams {
  /**
   * Counts a session's stream until it closes, and destroys it when the session ends.
   * @param end closes it gracefully; called when the gateway begins to shut down
   * @throws GatewayError BFF_RATE_LIMITED when the session has too many streams
   */
  open(session: Session | null, stream: Closing, end: () => void): void
  /** Destroys another long response, such as a download, when its session ends. Not counted. */
  endWith(session: Session | null, stream: Closing): void
  /** Closes all open streams, and from now on every new one. */
  endAll(): void
}

/** @param maxPerSession maximum number of open streams per session in this process */
export function createOpenStreams(
  sessions: Pick<Sessions, 'ended'>,
  maxPerSession: number,
  onError: (error: unknown) => void,
): OpenStreams {
  const all = new Map<Closing, () => void>()
  const bySession = new Map<string, { counted: number; streams: Set<Closing>; unwatch: AbortController }>()
  let isEnding = false

  return {
    open(session, stream, end) {
      if (stream.destroyed) return
      if (session && (bySession.get(session.id)?.counted ?? 0) >= maxPerSession) {
        throw new GatewayError('BFF_RATE_LIMITED', {
          details:
            'The session has too many event streams and WebSockets open: close some, or try again later',
          retryAfterMs,
        })
      }
      if (isEnding) return end()
      all.set(stream, end)
      stream.once('close', () => all.delete(stream))
      if (session) watch(session, stream, 1)
    },

    endWith(session, stream) {
      if (session && !stream.destroyed) watch(session, stream, 0)
    },

    endAll() {
      isEnding = true
      for (const end of all.values()) end()
    },
  }

  /** All streams of a session share one watch of the store. */
  function watch(session: Session, stream: Closing, counts: 0 | 1): void {
    const { id } = session
    const known = bySession.get(id)
    const watched = known ?? { counted: 0, streams: new Set(), unwatch: new AbortController() }
    const forget = () => bySession.get(id) === watched && bySession.delete(id)
    watched.counted += counts
    watched.streams.add(stream)
    stream.once('close', () => {
      watched.counted -= counts
      watched.streams.delete(stream)
      if (watched.streams.size > 0) return
      watched.unwatch.abort()
      forget()
    })
    if (known) return
    bySession.set(id, watched)
    sessions
      .ended(session, watched.unwatch.signal)
      .catch(onError)
      .then(() => {
        forget()
        for (const each of watched.streams) each.destroy()
      })
  }
}

/** A guess: it is not known when a stream will end. */
const retryAfterMs = 5000
