import { createHash } from 'node:crypto'
import type { SessionStore } from '../session-store/store.ts'
import type { SessionReference } from './sessions.ts'

/** How long a login may take, in milliseconds. */
export const transactionLifetimeMs = 10 * 60_000

/** Remembers that the browser with this session has begun another login, for as long as that may take. */
export async function rememberLoginBegun(
  store: Pick<SessionStore, 'claim'>,
  reference: SessionReference,
): Promise<void> {
  await store.claim(nameOf(reference), transactionLifetimeMs)
}

/**
 * Whether the browser may have another session by now. An answer to a request with the old cookie must leave the
 * cookie alone then: it may arrive after the answer that set the new one.
 */
export async function mayBeSuperseded(
  store: Pick<SessionStore, 'claimLastsMs'>,
  reference: SessionReference,
): Promise<boolean> {
  return (await store.claimLastsMs(nameOf(reference))) > 0
}

/** Remembers that the browser with this session has been given another one. */
export async function rememberReplacement(
  store: Pick<SessionStore, 'claim'>,
  reference: SessionReference,
): Promise<void> {
  await rememberLoginBegun(store, reference)
  await store.claim(nameOf(reference, 'replaced'), transactionLifetimeMs)
}

/** For a logout, which clears the cookie unless it is certain that the browser has another one by now. */
export async function isReplaced(
  store: Pick<SessionStore, 'claimLastsMs'>,
  reference: SessionReference,
): Promise<boolean> {
  return (await store.claimLastsMs(nameOf(reference, 'replaced'))) > 0
}

function nameOf({ id }: SessionReference, what = 'login-begun'): string {
  return `${what}:${createHash('sha256').update(id).digest('base64url')}`
}
