import { loginLifetimeMs } from '../../http/limits.ts'
import { sidIndex } from '../session/session-indexes.ts'
import type { SessionStore } from '../session-store/store.ts'

/** Identifies a session at the issuer. */
export interface IssuerSession {
  issuer: string
  sid: string
}

/** Per client: other clients have their own sessions. */
export type EndedSession = IssuerSession & { clientId: string }

/** Records that the issuer has ended its session, so that a login under way with the same `sid` is rejected. */
export async function rememberEnd(store: Pick<SessionStore, 'claim'>, ended: EndedSession): Promise<void> {
  await store.claim(nameOf(ended), loginLifetimeMs)
}

/**
 * Whether the issuer has ended this session within the last `ms`. Earlier endings don't count: the issuer may use the
 * same `sid` for a login that was begun later.
 */
export async function hasEndedWithin(
  store: Pick<SessionStore, 'claimLastsMs'>,
  session: EndedSession,
  ms: number,
): Promise<boolean> {
  const lastsMs = await store.claimLastsMs(nameOf(session))
  return lastsMs > 0 && loginLifetimeMs - lastsMs < ms
}

/** How long a front-channel notice about a session that has already ended gets 200. */
const signedOutMemoryMs = 10 * 60_000

/**
 * Records that a session of the gateway has ended. Unlike {@link rememberEnd}, this is not about the issuer's
 * session, so it rejects no login.
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
