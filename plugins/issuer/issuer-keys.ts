import {
  compactVerify,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWTVerifyGetKey,
} from 'jose'
import type { ServerMetadata } from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'
import { endpoint } from './discovery.ts'
import type { IssuerOptions } from './issuer.ts'
import { deadlineSignal } from './token-answers.ts'

/** What the issuer signs ID tokens and logout tokens with. */
export interface SigningKeys {
  keys: JWTVerifyGetKey
  algorithms: string[]
}

type FetchOptions = Parameters<FetchImplementation>[1]

/**
 * The issuer's keys, by its metadata as they are known now. Fetched when they are needed, and again when one is
 * missing, since the issuer may have a new one.
 *
 * @param attempts to fetch them, as long as there is no answer in time
 * @param cooldownMs how long nobody looks again for a key that is missing
 */
export function createKeySet(
  { issuer, timeoutMs }: IssuerOptions,
  cooldownMs: number,
  attempts = 1,
): (server: ServerMetadata) => SigningKeys {
  let latest: { uri: string | undefined; keys: JWTVerifyGetKey } | undefined
  return ({ jwks_uri: uri, id_token_signing_alg_values_supported: supported }) => {
    if (!latest || latest.uri !== uri) latest = { uri, keys: remoteKeys(uri) }
    // Some say nothing as `null`. openid-client falls back to the same.
    const named = Array.isArray(supported) ? supported : ['RS256']
    const algorithms = named.filter((algorithm) => !/^(none|HS\d+)$/i.test(algorithm))
    return { keys: latest.keys, algorithms }
  }

  function remoteKeys(uri: string | undefined): JWTVerifyGetKey {
    // By plain http, whoever sits between could hand out keys of his own.
    const url = endpoint(uri, issuer)
    if (url)
      return createRemoteJWKSet(url, {
        // Longer than that of each attempt, which a process that is busy does not miss.
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
      return await boundedFetch(url, { ...options, signal })
    } finally {
      deadline.clear()
    }
  }
}

/** @throws when none of the issuer's keys has signed the token, or they can't be had */
export async function checkSignature(token: string, { keys, algorithms }: SigningKeys): Promise<void> {
  await compactVerify(token, keys, { algorithms })
}
