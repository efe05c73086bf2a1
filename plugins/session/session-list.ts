import { isoTime } from '../../lib/clock.ts'
import type { ListedSession, SessionStore } from '../session-store/store.ts'
import type { PublicIds } from './public-ids.ts'
import { subjectIndex } from './session-indexes.ts'
import type { EndedByLimit, SessionProfile, SessionProfiles } from './session-profiles.ts'

/** A user of one issuer. */
export interface SessionOwner {
  issuer: string
  subject: string
}

/** A session of the list, without its tokens and claims. */
export interface UserSession {
  /** Its key in the store. Not for clients: see {@link PublicIds}. */
  id: string
  /** Milliseconds since the epoch. */
  createdAt: number | undefined
  /** Undefined if it was not used since an earlier release has created it. */
  profile: SessionProfile | undefined
}

/** The sessions of this gateway's client at its issuer, seen without their cookies. */
export interface SessionList {
  /** A user's sessions, the one used last first. */
  of(owner: SessionOwner): Promise<UserSession[]>
  /** A user's session by its public identifier. */
  find(owner: SessionOwner, publicId: string): Promise<UserSession | undefined>
  /** Key in the store of a session, of any user, by its public identifier. */
  storeId(publicId: string): string | undefined
  /**
   * Whether a session was created by this gateway or one with the same keys, and not by that of another application which
   * shares the store. True if it can't be known, because an earlier release created it.
   */
  isOwn(session: ListedSession): boolean
  /** What clients see of a session. @param current the session of the request, if it is one of a user */
  view(session: UserSession, current?: string): SessionView
}

/** Times are ISO 8601. Null: not known. */
export interface SessionView {
  id: string
  /** Whether it is the session that asks. */
  current: boolean
  createdAt: string | null
  lastUsedAt: string | null
  userAgent: string | null
  address: string | null
  bound: boolean
  /** Only if the login of this session ended the user's oldest one, because there were too many. */
  endedByLimit?: Omit<SessionView, 'id' | 'current' | 'bound'> & { endedAt: string | null }
}

export interface SessionListOptions {
  store: Pick<SessionStore, 'list'>
  clientId: string
  profiles: SessionProfiles
  publicIds: PublicIds
}

export function createSessionList({ store, clientId, profiles, publicIds }: SessionListOptions): SessionList {
  return {
    of,

    async find(owner, publicId) {
      const id = publicIds.storeId(publicId)
      return id === undefined ? undefined : (await of(owner)).find((session) => session.id === id)
    },

    storeId: publicIds.storeId,

    isOwn: ({ id, profile }) => profile === undefined || profiles.open(id, profile) !== undefined,

    view({ id, createdAt, profile }, current) {
      const known: Partial<SessionProfile> = profile ?? {}
      const { bound = false, endedByLimit } = known
      return {
        id: publicIds.of(id),
        current: id === current,
        ...useOf({ ...known, createdAt }),
        bound,
        ...(endedByLimit && {
          endedByLimit: { endedAt: isoTime(endedByLimit.endedAt), ...useOf(endedByLimit) },
        }),
      }
    },
  }

  async function of({ issuer, subject }: SessionOwner): Promise<UserSession[]> {
    const listed = await store.list(subjectIndex(issuer, clientId, subject))
    const sessions = listed.map(({ id, createdAt, profile }) => ({
      id,
      createdAt,
      profile: profiles.open(id, profile),
    }))
    return sessions.sort((a, b) => (b.profile?.lastUsedAt ?? 0) - (a.profile?.lastUsedAt ?? 0))
  }
}

/** When and from where a session is or was used. */
function useOf({ createdAt, lastUsedAt, userAgent, address }: Omit<EndedByLimit, 'endedAt'>) {
  return {
    createdAt: isoTime(createdAt),
    lastUsedAt: isoTime(lastUsedAt),
    userAgent: userAgent ?? null,
    address: address ?? null,
  }
}
