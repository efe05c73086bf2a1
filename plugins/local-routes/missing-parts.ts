import type { Issuer } from '../issuer/issuer.ts'

/** What the gateway can't work without and doesn't have, in the words of `/readyz`. */
export async function missingParts(gateway: {
  storeIsReady(): Promise<boolean>
  issuer: Pick<Issuer, 'isKnown'>
}): Promise<string[]> {
  const missing = []
  if (!(await gateway.storeIsReady())) missing.push('session store')
  // Whether they were ever learned: an issuer that fails later does not make the gateway unready.
  if (!gateway.issuer.isKnown()) missing.push('issuer metadata')
  return missing
}
