import type { CustomFetch, TokenEndpointResponse } from 'openid-client'
import { isObject } from '../../lib/type-guards.ts'
import { type Fetch, grantDeadline } from './transport.ts'

/** Drops members that are `null` or empty: some issuers send these instead of omitting the member. */
function withoutBlanks(answer: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null && value !== ''))
}

/** Parses a token response; undefined if it is no JSON object. */
export function parseAnswer(text: string): object | undefined {
  try {
    const answer: unknown = JSON.parse(text)
    return isObject(answer) ? answer : undefined
  } catch {
    return undefined
  }
}

/**
 * Drops blank members of a successful token response, as for a refresh, and decrypts its ID token. openid-client still
 * requires the mandatory members and checks all others.
 */
export function loginAnswerFetch(
  fetch: Fetch,
  tokenEndpoint: string | undefined,
  decrypt: (token: string) => Promise<string>,
): CustomFetch {
  const endpoint = URL.parse(tokenEndpoint ?? '')?.href
  return async (url, options) => {
    const response = await fetch(url, options as RequestInit)
    if (url !== endpoint || response.status !== 200) return response
    const { status, headers } = response
    const text = await response.text()
    const answer = parseAnswer(text)
    if (!answer) return new Response(text, { status, headers })
    const { id_token: idToken, ...others } = withoutBlanks(answer)
    const decrypted = typeof idToken === 'string' ? await decrypt(idToken) : idToken
    return Response.json({ ...others, ...(idToken !== undefined && { id_token: decrypted }) }, { status })
  }
}

/** Member that holds the ID token of a refresh response, so that openid-client does not validate it. */
const movedIdToken = 'fastify_bff_id_token'

/**
 * Fetches the response to a refresh token grant so that a fault in an optional member does not lose the tokens.
 *
 * The refresh token is spent once the issuer has answered, but openid-client rejects the whole response if its ID
 * token is not valid. So the ID token is moved to another member; the renewer later compares it with the session's
 * identity. Blank members are dropped.
 *
 * Ends with the grant's deadline, so the configuration that uses this needs no timeout of its own.
 */
export function refreshAnswerFetch(fetch: Fetch): CustomFetch {
  return async (url, options) => {
    const response = await fetch(url, { ...(options as RequestInit), signal: grantDeadline() })
    const { status } = response
    const text = await response.text()
    const headers = new Headers(response.headers)
    // Some issuers send errors with another content type; openid-client reads `invalid_grant` from JSON only.
    if (status >= 400) headers.set('content-type', 'application/json')
    return new Response(status === 200 ? rearranged(text) : text || null, { status, headers })
  }
}

/** The ID token of a refresh response, not validated. */
export function refreshedIdToken(answer: TokenEndpointResponse): string | undefined {
  const idToken = answer[movedIdToken]
  return typeof idToken === 'string' ? idToken : undefined
}

function rearranged(text: string): string {
  const answer = parseAnswer(text)
  // openid-client reports what is wrong with it.
  if (!answer) return text
  const { id_token: idToken, ...rest } = withoutBlanks(answer)
  return JSON.stringify(idToken === undefined ? rest : { ...rest, [movedIdToken]: idToken })
}
