import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { isoTime, secondsBetween } from '../../lib/clock.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { Session } from '../../plugins/session/session.ts'
import type { RouteOptions } from './options.ts'
import { sessionView } from './session.ts'
import { signedIn } from './signed-in.ts'

/** Shorter than the idle timeouts of common proxies, in milliseconds. */
const heartbeatMs = 25_000

/** How long before the end of a session its pages are told, in milliseconds. */
const expiringMs = 60_000

/** Timers can't wait for more than 24 days. */
const longestSleepMs = 3_600_000

/** After a gateway has shut down, browsers reconnect at different times within this range, in milliseconds. */
const reconnectMs = { from: 1000, to: 3000 }

/** A browser that does not read is disconnected when this many bytes wait for it. */
const maxPendingBytes = 256 * 1024

/**
 * Server-sent events about the session, for every tab: `session` at once and after each renewal, `expiring`, `ended`.
 * Does not extend the idle timeout.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export async function events(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { clock, csrfHeader, sessionEventStreams } = options
  const open = new Map<string, number>()

  // An EventSource can't set headers. The guard has refused foreign origins already.
  app.addHook('onRequest', async ({ headers }) => {
    if (headers[csrfHeader] === '1' || headers['sec-fetch-site'] === 'same-origin') return
    throw new GatewayError('BFF_CSRF_REJECTED', { details: `The header ${csrfHeader}: 1 is missing` })
  })

  app.get('/events', { config: { csrf: false }, exposeHeadRoute: false }, async (request, reply) => {
    const session = await signedIn(app, request, false)
    // The client has disconnected meanwhile: its `close` event will not come again.
    if (reply.raw.destroyed) return reply.send()
    count(session.id, reply)
    const stream = eventStream(session, reply)
    return reply
      .headers({
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        // nginx would buffer the events.
        'x-accel-buffering': 'no',
      })
      .send(stream)
  })

  function count(id: string, reply: FastifyReply): void {
    const before = open.get(id) ?? 0
    if (before >= sessionEventStreams) {
      throw new GatewayError('BFF_RATE_LIMITED', {
        details: 'The session has too many streams of events open: close some, or try again later',
        retryAfterMs: 5000,
      })
    }
    open.set(id, before + 1)
    reply.raw.once('close', () => {
      const left = (open.get(id) ?? 1) - 1
      if (left > 0) open.set(id, left)
      else open.delete(id)
    })
  }

  function eventStream(first: Session, reply: FastifyReply): Readable {
    const stream = new Readable({ read() {} })
    const send = (text: string) => {
      if (stream.readableLength > maxPendingBytes) reply.raw.destroy()
      else stream.push(text)
    }
    const sendEvent = (name: string, data: object) =>
      send(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
    const sendSession = (session: Session) => sendEvent('session', sessionView(session, clock.now()))

    const closed = new AbortController()
    reply.raw.once('close', () => closed.abort())
    const { from, to } = reconnectMs
    send(`retry: ${Math.round(from + Math.random() * (to - from))}\n\n`)
    sendSession(first)
    app.openStreams.open(first, reply.raw, () => stream.push(null), {
      changed: sendSession,
      ended(reason) {
        sendEvent('ended', { reason })
        stream.push(null)
      },
    })
    const heartbeat = setInterval(() => send(': keep-alive\n\n'), heartbeatMs).unref()
    closed.signal.addEventListener('abort', () => clearInterval(heartbeat))
    void warnBeforeEnd(first, closed.signal, ({ expiresAt }) => {
      const now = clock.now()
      sendEvent('expiring', { expiresUtc: isoTime(expiresAt), remainingTime: secondsBetween(now, expiresAt) })
    })
    return stream
  }

  /** Calls `warn` when less than a minute of the session is left, again if it was extended meanwhile. */
  async function warnBeforeEnd(
    session: Session,
    signal: AbortSignal,
    warn: (session: Session) => void,
  ): Promise<void> {
    for (let latest: Session | undefined = session, warnedOf = 0; latest && !signal.aborted; ) {
      const leftMs: number = latest.expiresAt - clock.now()
      // Each reading of the same end differs by some milliseconds.
      if (leftMs <= expiringMs && latest.expiresAt > warnedOf + 1000) {
        warnedOf = latest.expiresAt
        warn(latest)
      }
      await clock.sleep(Math.min(Math.max(leftMs - expiringMs, expiringMs / 2), longestSleepMs), signal)
      latest = await app.sessions.reload(latest).catch(() => latest)
    }
  }
}
