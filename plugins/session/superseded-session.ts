import { createHash } from 'node:crypto'
import { loginLifetimeMs } from '../../http/limits.ts'
import type { SessionStore } from '../session-store/store.ts'
import type { SessionReference } from './session-reference.ts'

/** Records, for the duration of a login, that the browser with this session has started another login. */
export async function rememberLoginBegun(
  store: Pick<SessionStore, 'addMarker'>,
  reference: SessionReference,
): Promise<void> {
  await store.addMarker(nameOf(reference), loginLifetimeMs)
}

/**
 * Whether the browser may have a newer session. If so, a response to a request with the old cookie must not change the
 * cookie: it may arrive after the response that set the new one.
 */
export async function mayBeSuperseded(
  store: Pick<SessionStore, 'markerTtlMs'>,
  reference: SessionReference,
): Promise<boolean> {
  return (await store.markerTtlMs(nameOf(reference))) > 0
}

/** Records that the browser with this session has received a newer one. */
export async function rememberReplacement(
  store: Pick<SessionStore, 'addMarker'>,
  reference: SessionReference,
): Promise<void> {
  await rememberLoginBegun(store, reference)
  await store.addMarker(nameOf(reference, 'replaced'), loginLifetimeMs)
}

/** Whether the browser certainly has a newer session. Only then does a logout leave the cookie. */
export async function isReplaced(
  store: Pick<SessionStore, 'markerTtlMs'>,
  reference: SessionReference,
): Promise<boolean> {
  return (await store.markerTtlMs(nameOf(reference, 'replaced'))) > 0
}

function nameOf({ id }: SessionReference, what = 'login-begun'): string {
  return `${what}:${createHash('sha256').update(id).digest('base64url')}`
}
