import { GatewayError } from '../../errors/catalogue.ts'
import type { SessionEndReason } from '../../observability/metrics.ts'
import type { Session } from '../session.ts'
import type { Sessions } from '../sessions.ts'

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
   * @param follower is called instead when the session ends, and when it changes
   * @throws GatewayError BFF_RATE_LIMITED when the session has too many streams
   */
  open(session: Session | null, stream: Closing, end: () => void, follower?: Follower): void
  /** Destroys another long response, such as a download, when its session ends. Not counted. */
  endWith(session: Session | null, stream: Closing): void
  /** Closes all open streams, and from now on every new one. */
  endAll(): void
}

/** What a stream does about changes of its session. */
export interface Follower {
  changed(session: Session): void
  ended(reason: SessionEndReason): void
}

interface Watched {
  counted: number
  streams: Map<Closing, Follower | undefined>
  unwatch: AbortController
}

/** @param maxPerSession maximum number of open streams per session in this process */
export function createOpenStreams(
  sessions: Pick<Sessions, 'follow'>,
  maxPerSession: number,
  onError: (error: unknown) => void,
): OpenStreams {
  const all = new Map<Closing, () => void>()
  const bySession = new Map<string, Watched>()
  let isEnding = false

  return {
    open(session, stream, end, follower) {
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
      if (session) watch(session, stream, 1, follower)
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
  function watch(session: Session, stream: Closing, counts: 0 | 1, follower?: Follower): void {
    const { id } = session
    const known = bySession.get(id)
    const watched = known ?? { counted: 0, streams: new Map(), unwatch: new AbortController() }
    const forget = () => bySession.get(id) === watched && bySession.delete(id)
    watched.counted += counts
    watched.streams.set(stream, follower)
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
      .follow(session, watched.unwatch.signal, (changed) => {
        for (const each of watched.streams.values()) each?.changed(changed)
      })
      .catch(onError)
      .then((reason) => {
        forget()
        for (const [each, its] of watched.streams)
          if (its) its.ended(reason ?? 'lost')
          else each.destroy()
      })
  }
}

/** A guess: it is not known when a stream will end. */
const retryAfterMs = 5000
