import {
  compactVerify,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWTVerifyGetKey,
} from 'jose'
import type { ServerMetadata } from 'openid-client'
import { boundedFetch, type Fetch } from './bounded-fetch.ts'
import { endpoint } from './discovery.ts'
import type { IssuerOptions } from './issuer.ts'
import { deadlineSignal } from './token-answers.ts'

/** The issuer's keys for ID tokens and logout tokens. */
export interface SigningKeys {
  keys: JWTVerifyGetKey
  algorithms: string[]
}

type FetchOptions = Parameters<FetchImplementation>[1]

/**
 * The issuer's key set, from the `jwks_uri` of its current metadata. Fetched on first use, and again if a token names a
 * key that is missing, because the issuer may have rotated its keys.
 *
 * @param attempts how often a fetch that times out is tried
 * @param cooldownMs minimum time between two fetches because of a missing key
 */
export function createKeySet(
  { issuer, timeoutMs }: IssuerOptions,
  cooldownMs: number,
  attempts = 1,
  fetch: Fetch = boundedFetch,
): (server: ServerMetadata) => SigningKeys {
  let latest: { uri: string | undefined; keys: JWTVerifyGetKey } | undefined
  return ({ jwks_uri: uri, id_token_signing_alg_values_supported: supported }) => {
    if (!latest || latest.uri !== uri) latest = { uri, keys: remoteKeys(uri) }
    // Some issuers send `null` instead of omitting it. openid-client has the same default.
    const named = Array.isArray(supported) ? supported : ['RS256']
    const algorithms = named.filter((algorithm) => !/^(none|HS\d+)$/i.test(algorithm))
    return { keys: latest.keys, algorithms }
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

/** @throws when no key of the issuer verifies the token, or the keys can't be fetched */
export async function checkSignature(token: string, { keys, algorithms }: SigningKeys): Promise<void> {
  await compactVerify(token, keys, { algorithms })
}
