import type { CustomFetch, TokenEndpointResponse } from 'openid-client'

/** Where the ID token of a refresh answer goes while openid-client looks at the answer. */
const movedIdToken = 'fastify_bff_id_token'

/**
 * Fetches the answer to a refresh token grant so that no flaw in what is optional loses what is not.
 *
 * The refresh token is spent once the issuer has answered, and openid-client throws the whole answer away when
 * the ID token in it does not please it. So the ID token is put aside, for the renewer to compare with the
 * session's identity while it holds the tokens, and members that are `null` count as absent.
 */
export const refreshAnswerFetch: CustomFetch = async (url, options) => {
  const response = await fetch(url, options as RequestInit)
  if (response.status !== 200) return response
  const text = await response.text()
  return new Response(rearranged(text), { status: 200, headers: response.headers })
}

/** The ID token that a refresh answer came with, not yet looked at. */
export function refreshedIdToken(answer: TokenEndpointResponse): string | undefined {
  const idToken = answer[movedIdToken]
  return typeof idToken === 'string' ? idToken : undefined
}

function rearranged(text: string): string {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return text
    const { id_token: idToken, ...rest } = Object.fromEntries(
      Object.entries(answer).filter(([, value]) => value !== null),
    )
    return JSON.stringify(idToken === undefined ? rest : { ...rest, [movedIdToken]: idToken })
  } catch {
    // Not JSON: openid-client says so better.
    return text
  }
}
