import type { Issuer } from '../issuer/issuer.ts'
import type { SessionStore } from '../session-store/store.ts'

/** What the gateway can't work without and doesn't have, in the words of `/readyz`. */
export async function missingParts(gateway: {
  sessionStore: Pick<SessionStore, 'ping'>
  issuer: Pick<Issuer, 'isKnown'>
}): Promise<string[]> {
  const missing = []
  if (!(await answers(gateway.sessionStore))) missing.push('session store')
  // Whether they were ever learned: an issuer that fails later does not make the gateway unready.
  if (!gateway.issuer.isKnown()) missing.push('issuer metadata')
  return missing
}

async function answers(store: Pick<SessionStore, 'ping'>): Promise<boolean> {
  return store.ping().then(
    () => true,
    () => false,
  )
}
