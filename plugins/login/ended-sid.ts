import { loginLifetimeMs } from '../../http/limits.ts'
import { sidIndex } from '../session/session-indexes.ts'
import type { SessionStore } from '../session-store/store.ts'

/** A session at the issuer, as one of its clients sees it. */
export interface IssuerSession {
  issuer: string
  clientId: string
  sid: string
}

/** Records that the issuer has ended its session, so that a login under way with the same `sid` is rejected. */
export async function rememberEnd(
  store: Pick<SessionStore, 'addMarker'>,
  ended: IssuerSession,
): Promise<void> {
  await store.addMarker(nameOf(ended), loginLifetimeMs)
}

/**
 * Whether the issuer has ended this session within the last `ms`. Earlier endings don't count: the issuer may use the
 * same `sid` for a login that was begun later.
 */
export async function hasEndedWithin(
  store: Pick<SessionStore, 'markerTtlMs'>,
  session: IssuerSession,
  ms: number,
): Promise<boolean> {
  const lastsMs = await store.markerTtlMs(nameOf(session))
  return lastsMs > 0 && loginLifetimeMs - lastsMs < ms
}

/** How long a front-channel notice about a session that has already ended gets 200. */
const signedOutMemoryMs = 10 * 60_000

/**
 * Records that a session of the gateway has ended. Unlike {@link rememberEnd}, this is not about the issuer's
 * session, so it rejects no login.
 */
export async function rememberSignOut(
  store: Pick<SessionStore, 'addMarker'>,
  ended: IssuerSession,
): Promise<void> {
  await store.addMarker(`signed-out:${indexOf(ended)}`, signedOutMemoryMs)
}

export async function hasSignedOut(
  store: Pick<SessionStore, 'markerTtlMs'>,
  session: IssuerSession,
): Promise<boolean> {
  return (await store.markerTtlMs(`signed-out:${indexOf(session)}`)) > 0
}

function nameOf(session: IssuerSession): string {
  return `ended-sid:${indexOf(session)}`
}

function indexOf({ issuer, clientId, sid }: IssuerSession): string {
  return sidIndex(issuer, clientId, sid)
}
