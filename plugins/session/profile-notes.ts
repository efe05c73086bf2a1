import type { Clock } from '../../lib/clock.ts'
import type { ListedSession, SessionStore } from '../session-store/store.ts'
import type { Session } from './session.ts'
import type { SessionClient, SessionProfile, SessionProfiles } from './session-profiles.ts'

/** What is noted in the profiles of sessions, for lists. Without profiles nothing is. */
export interface ProfileNotes {
  /** Of a new session. @returns undefined without profiles */
  begun(id: string, at: number, client: SessionClient | undefined): Buffer | undefined
  used(session: Session, client: SessionClient | undefined): Promise<void>
  bound(id: string): Promise<void>
  /** @param id of the session whose login has ended `oldest` */
  endedByLimit(id: string, oldest: ListedSession): Promise<void>
}

export interface ProfileNotesOptions {
  store: Pick<SessionStore, 'updateProfile'>
  clock: Clock
  profiles?: SessionProfiles | undefined
}

export function createProfileNotes({ store, clock, profiles }: ProfileNotesOptions): ProfileNotes {
  return {
    begun: (id, at, client) => profiles?.seal(id, { lastUsedAt: at, ...client }),

    used: ({ id, record }, client) =>
      note(id, { lastUsedAt: clock.now(), ...client, ...(record.device && { bound: true }) }),

    bound: (id) => note(id, { bound: true }),

    endedByLimit(id, { id: oldestId, createdAt, profile }) {
      const { lastUsedAt, userAgent, address } = profiles?.open(oldestId, profile) ?? {}
      const known = { createdAt, lastUsedAt, userAgent, address }
      return note(id, { endedByLimit: { ...known, endedAt: clock.now() } })
    },
  }

  async function note(id: string, change: Partial<SessionProfile>): Promise<void> {
    if (!profiles) return
    await store.updateProfile(id, (sealed) => {
      // A session of an earlier release has none.
      const profile = profiles.open(id, sealed) ?? { lastUsedAt: clock.now() }
      return profiles.seal(id, { ...profile, ...change })
    })
  }
}
