import { sidIndex } from '../session/sessions.ts'
import { transactionLifetimeMs } from '../session/superseded-session.ts'
import type { SessionStore } from '../session-store/store.ts'

/** A session of the issuer's, as it names it. */
export interface IssuerSession {
  issuer: string
  sid: string
}

/** For one client: others have sessions of their own. */
export type EndedSession = IssuerSession & { clientId: string }

/** Remembers that the issuer has ended a session of its own, for logins from it that are under way. */
export async function rememberEnd(store: Pick<SessionStore, 'claim'>, ended: EndedSession): Promise<void> {
  await store.claim(nameOf(ended), transactionLifetimeMs)
}

/**
 * Whether that was remembered in the last `ms`. An end before does not count: an issuer that gives the same `sid` to
 * a login begun later means that it may.
 */
export async function hasEndedWithin(
  store: Pick<SessionStore, 'claimLastsMs'>,
  session: EndedSession,
  ms: number,
): Promise<boolean> {
  const lastsMs = await store.claimLastsMs(nameOf(session))
  return lastsMs > 0 && transactionLifetimeMs - lastsMs < ms
}

/** How long the issuer's front-channel notice about a session that has ended already is still answered with 200. */
const signedOutMemoryMs = 10 * 60_000

/**
 * Remembers that a session of ours has ended. Unlike {@link rememberEnd} it says nothing of the issuer's own session,
 * so it keeps no login away.
 */
export async function rememberSignOut(
  store: Pick<SessionStore, 'claim'>,
  ended: EndedSession,
): Promise<void> {
  await store.claim(`signed-out:${indexOf(ended)}`, signedOutMemoryMs)
}

export async function hasSignedOut(
  store: Pick<SessionStore, 'claimLastsMs'>,
  session: EndedSession,
): Promise<boolean> {
  return (await store.claimLastsMs(`signed-out:${indexOf(session)}`)) > 0
}

function nameOf(session: EndedSession): string {
  return `ended-sid:${indexOf(session)}`
}

function indexOf({ issuer, clientId, sid }: EndedSession): string {
  return sidIndex(issuer, clientId, sid)
}
