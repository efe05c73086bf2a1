import { createHash, hkdfSync } from 'node:crypto'
import type { Clock } from '../../lib/clock.ts'
import { seal, unseal } from '../session/sealing.ts'
import { readReference, type SessionReference } from '../session/session-reference.ts'
import type { SessionStore } from '../session-store/store.ts'
import type { LoginTransaction } from './login-transaction.ts'

export interface ParallelLoginsOptions {
  store: Pick<SessionStore, 'addMarker' | 'put' | 'read'>
  clock: Pick<Clock, 'monotonic' | 'sleep'>
}

/** Longer than the callbacks of parallel logins can overlap, in milliseconds. */
const rememberedMs = 60_000

/** How long to wait for the reference of a session that another callback is about to publish. */
const publishedWithinMs = 1_000
const recheckMs = 25

/**
 * Of logins that finish in one browser at the same moment, each leads to a session, and the browser keeps the cookie
 * that comes last. So all of them must set the same one: that of the first to get here.
 *
 * The store decides which is the first. Its reference is stored sealed with a secret of a transaction cookie that all
 * these callbacks carry.
 *
 * @param transactions all that are open in the browser, this login's own included
 * @param reference of this login's session
 * @returns the first one's session; this login's own if it is the first, or if the first is not known
 */
export async function firstOfParallelLogins(
  { store, clock }: ParallelLoginsOptions,
  transactions: LoginTransaction[],
  reference: SessionReference,
): Promise<SessionReference> {
  const [shared, ...others] = transactions.toSorted((one, other) => (one.state < other.state ? -1 : 1))
  if (!shared || others.length === 0) return reference
  // Parallel logins replace the same session. A later login replaces that of an earlier one.
  const { state, replaces } = shared
  const id = createHash('sha256').update(`parallel logins ${state} ${replaces?.id}`).digest('base64url')
  const key = Buffer.from(hkdfSync('sha256', shared.codeVerifier, '', 'fastify-bff parallel logins', 32))

  if (await store.addMarker(`parallel-login:${id}`, rememberedMs)) {
    await store.put(id, seal(reference, { key, id, version: 1 }), rememberedMs)
    return reference
  }
  const giveUpAt = clock.monotonic() + publishedWithinMs
  for (;;) {
    const stored = await store.read(id)
    const first = stored && unseal(stored.sealed, { key, id, version: stored.version })
    if (first) return readReference(Object(first)) ?? reference
    if (clock.monotonic() >= giveUpAt) return reference
    await clock.sleep(recheckMs)
  }
}
