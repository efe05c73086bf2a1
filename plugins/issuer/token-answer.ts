import type { CustomFetch } from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'

/** What issuers leave out of a token's answer, some send as `null` or as empty text: it counts as absent. */
export function withoutBlanks(answer: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null && value !== ''))
}

/** An answer of the token endpoint, if it is a JSON object. */
export function parseAnswer(text: string): object | undefined {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' && answer !== null && !Array.isArray(answer) ? answer : undefined
  } catch {
    return undefined
  }
}

/**
 * Fetches as ever, but for what the token endpoint grants: blank members count as absent there, as for a refresh.
 * Whatever must be there is missed all the same, and all that is there is checked.
 */
export function loginAnswerFetch(tokenEndpoint: string | undefined): CustomFetch {
  const endpoint = URL.parse(tokenEndpoint ?? '')?.href
  return async (url, options) => {
    const response = await boundedFetch(url, options as RequestInit)
    if (url !== endpoint || response.status !== 200) return response
    const { status, headers } = response
    const text = await response.text()
    const answer = parseAnswer(text)
    return new Response(answer ? JSON.stringify(withoutBlanks(answer)) : text, { status, headers })
  }
}
