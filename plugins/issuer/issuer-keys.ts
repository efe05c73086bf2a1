import { createRemoteJWKSet, customFetch, errors, type FetchImplementation, type JWTVerifyGetKey } from 'jose'
import type { ServerMetadata } from 'openid-client'
import { endpoint } from './discovery.ts'
import type { IssuerOptions } from './issuer.ts'
import { boundedFetch, deadlineSignal, type Fetch } from './transport.ts'

/** The issuer's keys, and the algorithms that it may use them with. */
export interface SigningKeys {
  keys: JWTVerifyGetKey
  algorithms: string[]
}

type KeySetOptions = Pick<IssuerOptions, 'issuer' | 'timeoutMs' | 'idTokenAlg' | 'clientSecret'>
type FetchOptions = Parameters<FetchImplementation>[1]

/**
 * The issuer's key set, from the `jwks_uri` of its current metadata. Fetched on first use, and again if a token names a
 * key that is missing, because the issuer may have rotated its keys.
 *
 * @param attempts how often a fetch that times out is tried
 * @param cooldownMs minimum time between two fetches because of a missing key
 * @returns the keys for ID tokens; for another kind of answer if given the algorithms that the metadata list for it
 */
export function createKeySet(
  { issuer, timeoutMs, idTokenAlg, clientSecret = '' }: KeySetOptions,
  cooldownMs: number,
  attempts = 1,
  fetch: Fetch = boundedFetch,
): (server: ServerMetadata, supported?: unknown) => SigningKeys {
  let latest: { uri: string | undefined; keys: JWTVerifyGetKey } | undefined
  if (isSymmetric.test(idTokenAlg ?? '')) {
    // The client secret as it is. @see https://openid.net/specs/openid-connect-core-1_0.html#Signing
    const secret = new TextEncoder().encode(clientSecret)
    return () => ({ keys: async () => secret, algorithms: [idTokenAlg ?? ''] })
  }
  return ({ jwks_uri: uri, id_token_signing_alg_values_supported: ofIdTokens }, supported) => {
    if (!latest || latest.uri !== uri) latest = { uri, keys: remoteKeys(uri) }
    // Some issuers send `null` instead of omitting it. openid-client has the same default.
    const named = [supported, ofIdTokens, ['RS256']].find((list) => Array.isArray(list)) as string[]
    const algorithms = named.filter((algorithm) => !/^none$/i.test(algorithm) && !isSymmetric.test(algorithm))
    const isPinned = supported === undefined && idTokenAlg !== undefined
    return { keys: latest.keys, algorithms: isPinned ? [idTokenAlg] : algorithms }
  }

  function remoteKeys(uri: string | undefined): JWTVerifyGetKey {
    // Over plain http an attacker on the network could substitute keys.
    const url = endpoint(uri, issuer)
    if (url)
      return createRemoteJWKSet(url, {
        // Longer than each attempt's own deadline (see fetchOnce), which tolerates a busy event loop.
        timeoutDuration: 2 * attempts * timeoutMs,
        cooldownDuration: cooldownMs,
        [customFetch]: fetchKeys,
      })
    return async () => {
      throw new errors.JWKSNoMatchingKey('The issuer has no keys to check with')
    }
  }

  async function fetchKeys(url: string, options: FetchOptions): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await fetchOnce(url, options)
      } catch (error) {
        const isLate = error instanceof DOMException && error.name === 'TimeoutError'
        if (!isLate || attempt >= attempts) throw error
      }
    }
  }

  async function fetchOnce(url: string, options: FetchOptions): Promise<Response> {
    const deadline = deadlineSignal(timeoutMs)
    try {
      const signal = AbortSignal.any([deadline.signal, options.signal])
      return await fetch(url, { ...options, signal })
    } finally {
      deadline.clear()
    }
  }
}

const isSymmetric = /^HS\d+$/i
