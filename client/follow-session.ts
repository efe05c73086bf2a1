import { readEvents } from './read-events.ts'
import type { BffSession, SessionEvent, SessionListener } from './types.ts'

interface Message {
  session: BffSession
  event: SessionEvent
}

/** How long after a failure the gateway is called again, in milliseconds; doubled by each further failure. */
const firstRetryMs = 1000
const longestRetryMs = 30_000
/** While no user is signed in. Coming back to the tab is what usually follows a login. */
const signedOutRetryMs = 300_000

/**
 * One tab holds the connection to the gateway and passes what it hears to the others: over HTTP/1.1 a browser opens
 * only six connections to an origin. Where there are no locks, each tab has its own.
 *
 * @param connect opens `/bff/events`
 * @param current asks `/bff/session`, without extending the session
 * @param name of the gateway, the same in all tabs
 */
export function followSession(
  connect: (signal: AbortSignal) => Promise<Response>,
  current: () => Promise<BffSession>,
  name: string,
): (listener: SessionListener) => () => void {
  const listeners = new Set<SessionListener>()
  let latest: Message | undefined
  let stop: AbortController | undefined
  let channel: BroadcastChannel | undefined
  /** Of the tab that holds the connection: its next try comes at once. */
  let retry: AbortController | undefined

  return (listener) => {
    listeners.add(listener)
    if (latest) listener(latest.session, latest.event)
    if (listeners.size === 1) start()
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) end()
    }
  }

  function start(): void {
    addEventListener('pagehide', pause)
    addEventListener('pageshow', resume)
    listen()
  }

  function end(): void {
    removeEventListener('pagehide', pause)
    removeEventListener('pageshow', resume)
    pause()
    latest = undefined
  }

  /** A page with an open connection or lock could not be kept for going back to it. */
  function pause(): void {
    stop?.abort()
    channel?.close()
  }

  /** A page that the browser has kept may show a user who has logged out since: it stays hidden until that is known. */
  async function resume({ persisted }: PageTransitionEvent): Promise<void> {
    if (!persisted) return
    const { style } = document.documentElement
    const { visibility } = style
    style.visibility = 'hidden'
    const session = await current().catch(() => undefined)
    if (!session || sidOf(session) !== sidOf(latest?.session)) return location.reload()
    style.visibility = visibility
    listen()
  }

  function listen(): void {
    stop = new AbortController()
    const { signal } = stop
    channel = new BroadcastChannel(`bff ${name}`)
    channel.onmessage = ({ data }: MessageEvent<Message | 'ask'>) => {
      if (data !== 'ask') tell(data)
      // Only the tab that holds the connection has it. The tab that asks may just have come back from a login.
      else if (!latest?.session.isAuthenticated) retry?.abort()
      else if (retry) channel?.postMessage(latest)
    }
    if (!navigator.locks) return void holdConnection(signal)
    channel.postMessage('ask')
    // Rejects when the signal aborts.
    navigator.locks.request(`bff ${name}`, { signal }, () => holdConnection(signal)).catch(() => {})
  }

  async function holdConnection(signal: AbortSignal): Promise<void> {
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs = Math.min(2 * retryMs, longestRetryMs)) {
      retry = new AbortController()
      let waitMs = retryMs * (0.5 + Math.random())
      try {
        // Browsers log each 401 as an error, which `/bff/events` answers without a session.
        const session = await current()
        if (!session.isAuthenticated) {
          publish({ session, event: 'session' })
          waitMs = signedOutRetryMs
        } else {
          const { ok, body } = await connect(signal)
          for await (const { event, data } of ok && body ? readEvents(body) : []) {
            retryMs = firstRetryMs
            publish(messageOf(event, data))
          }
        }
      } catch {
        // The connection was lost.
      }
      await nextTry(waitMs, [signal, retry.signal])
    }
    retry = undefined
  }

  function messageOf(event: string, data: Record<string, unknown>): Message | undefined {
    if (event === 'session') return { session: data as unknown as BffSession, event }
    if (event === 'ended')
      return { session: { isAuthenticated: false, reason: String(data['reason']) }, event }
    return event === 'expiring' && latest ? { session: latest.session, event } : undefined
  }

  function publish(message: Message | undefined): void {
    if (!message) return
    channel?.postMessage(message)
    tell(message)
  }

  function tell(message: Message): void {
    const wasSignedOut = latest && !latest.session.isAuthenticated && !message.session.isAuthenticated
    // While no user is signed in, each further try says the same.
    if (wasSignedOut) return
    latest = message
    for (const listener of [...listeners]) listener(message.session, message.event)
  }
}

function sidOf(session: BffSession | undefined): string | undefined {
  return session?.isAuthenticated ? session.sid : undefined
}

/** After a while, when a signal aborts, or when the user comes back to this tab, perhaps from a login in another one. */
function nextTry(ms: number, signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const events = ['visibilitychange', 'online']
    const done = () => {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', done)
      for (const event of events) removeEventListener(event, done, true)
      resolve()
    }
    const timer = setTimeout(done, ms)
    for (const signal of signals) signal.addEventListener('abort', done)
    for (const event of events) addEventListener(event, done, true)
    if (signals.some(({ aborted }) => aborted)) done()
  })
}
