import { type CryptoKey, importJWK } from 'jose'
import * as oidc from 'openid-client'
import { type DpopKey, publicKey } from './key.ts'
import type { Nonces } from './nonces.ts'

/** Option of openid-client's functions: it makes the proofs, and repeats a request once if its nonce is refused. */
export type ProofOptions = { DPoP?: oidc.DPoPHandle }

/** @param key unset: no proofs */
export async function proofOptions(
  configuration: oidc.Configuration,
  key: DpopKey | undefined,
  nonces: Nonces,
): Promise<ProofOptions> {
  if (!key) return {}
  const pair = {
    privateKey: (await importJWK(key, key.alg)) as CryptoKey,
    publicKey: (await importJWK({ ...publicKey(key), ext: true }, key.alg)) as CryptoKey,
  }
  const handle = oidc.getDPoPHandle(configuration, pair, {
    [oidc.modifyAssertion](header, claims) {
      // openid-client announces `EdDSA` as `Ed25519`.
      header['alg'] = key.alg
      // One handle lasts for one call, but nonces are the same for all sessions.
      const nonce = nonces.of(new URL(String(claims['htu'])).origin)
      if (nonce !== undefined) claims['nonce'] = nonce
    },
  })
  return { DPoP: handle }
}
