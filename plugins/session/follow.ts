import type { Clock } from '../../lib/clock.ts'
import type { SessionEndReason } from '../observability/metrics.ts'
import type { SessionStore } from '../session-store/store.ts'
import type { Session } from './session.ts'

interface FollowOptions {
  store: Pick<SessionStore, 'changed' | 'endReason'>
  clock: Clock
  lifetimeMs: number
  reload(session: Session): Promise<Session | undefined>
  signal: AbortSignal
  onChanged: ((session: Session) => void) | undefined
}

/**
 * How often a followed session is read without a change notification, in milliseconds. The store reports lost
 * connections to followers itself, so this only limits the effect of a single lost notification.
 */
const recheckMs = 60_000

/** Pause when a session is still there at the time of its expiry, in milliseconds. */
const expiryRecheckMs = 200

/** Waits for the end of a session. Uses the store's change notifications and reads the session only when it changed. */
export async function follow(
  session: Session,
  { store, clock, lifetimeMs, reload, signal, onChanged }: FollowOptions,
): Promise<SessionEndReason | undefined> {
  let latest = session
  while (!signal.aborted) {
    const waiting = new AbortController()
    const either = AbortSignal.any([signal, waiting.signal])
    try {
      // Before the session is read, so that no change goes unnoticed between the two.
      const changed = store.changed(session.id, either)
      // If the store is unavailable, the session counts as alive.
      const current = await reload(latest).catch(() => latest)
      if (signal.aborted) return undefined
      if (!current) return await endOf(latest)
      const isChanged = current.version !== latest.version
      latest = current
      if (isChanged) onChanged?.(current)
      // Expiry sends no notification.
      const expiresInMs = Math.max(expiryRecheckMs, latest.expiresAt - clock.now())
      await Promise.race([changed, clock.sleep(Math.min(recheckMs, expiresInMs), either)])
    } finally {
      waiting.abort()
    }
  }
  return undefined

  async function endOf({ id, record, expiresAt }: Session): Promise<SessionEndReason> {
    const reason = await store.endReason(id).catch(() => undefined)
    if (reason !== undefined) return reason as SessionEndReason
    const now = clock.now()
    if (now >= record.createdAt + lifetimeMs) return 'lifetime'
    return now >= expiresAt ? 'idle' : 'lost'
  }
}
