import type { BoundDevice } from '../device-key.ts'
import type { Session } from '../session.ts'
import type { Sessions } from '../sessions.ts'

/**
 * Stores a device's key in a session's record, unless it has one. A renewal that runs at the same time keeps its tokens:
 * of the two writes the later one is repeated on top of the other.
 *
 * @returns the bound session, `bound-before`, or undefined if the session has ended
 * @throws StoreUnavailableError
 */
export async function bindSession(
  sessions: Pick<Sessions, 'prepareWrite' | 'reload'>,
  session: Session,
  device: BoundDevice,
): Promise<Session | 'bound-before' | undefined> {
  for (let current: Session | undefined = session; current; ) {
    if (current.record.device) return 'bound-before'
    const result = await sessions.prepareWrite(current, { ...current.record, device })()
    if (result.outcome === 'stored') return result.session
    current = result.outcome === 'gone' ? undefined : await sessions.reload(session)
  }
  return undefined
}
