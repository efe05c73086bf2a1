import type { SessionStore } from '../session-store/store.ts'
import { transactionLifetimeMs } from './login-transaction.ts'
import { sidIndex } from './sessions.ts'

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

function nameOf({ issuer, clientId, sid }: EndedSession): string {
  return `ended-sid:${sidIndex(issuer, clientId, sid)}`
}
