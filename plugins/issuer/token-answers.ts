import { setImmediate as turn } from 'node:timers/promises'
import type { CustomFetch, TokenEndpointResponse } from 'openid-client'
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

/** Where the ID token of a refresh answer goes while openid-client looks at the answer. */
const movedIdToken = 'fastify_bff_id_token'

/** Of the event loop: enough for head and body, with some to spare. */
const turnsToRead = 10

/**
 * Fetches the answer to a refresh token grant so that no flaw in what is optional loses what is not.
 *
 * The refresh token is spent once the issuer has answered, and openid-client throws the whole answer away when
 * the ID token in it does not please it. So the ID token is put aside, for the renewer to compare with the
 * session's identity while it holds the tokens, and blank members count as absent.
 *
 * @param timeoutMs how long it listens. The configuration that uses it needs no time-out of its own.
 */
export function refreshAnswerFetch(timeoutMs: number): CustomFetch {
  return async (url, options) => {
    const deadline = deadlineSignal(timeoutMs)
    try {
      const response = await boundedFetch(url, { ...(options as RequestInit), signal: deadline.signal })
      const { status } = response
      const text = await response.text()
      const headers = new Headers(response.headers)
      // Whatever an issuer calls its JSON: openid-client looks for an `invalid_grant` in nothing else.
      if (status >= 400) headers.set('content-type', 'application/json')
      return new Response(status === 200 ? rearranged(text) : text || null, { status, headers })
    } finally {
      deadline.clear()
    }
  }
}

/** The ID token that a refresh answer came with, not yet looked at. */
export function refreshedIdToken(answer: TokenEndpointResponse): string | undefined {
  const idToken = answer[movedIdToken]
  return typeof idToken === 'string' ? idToken : undefined
}

function rearranged(text: string): string {
  const answer = parseAnswer(text)
  // openid-client says better what is wrong with it.
  if (!answer) return text
  const { id_token: idToken, ...rest } = withoutBlanks(answer)
  return JSON.stringify(idToken === undefined ? rest : { ...rest, [movedIdToken]: idToken })
}

/** Aborts after `timeoutMs` as `AbortSignal.timeout` does, but not before what has come already was read. */
export function deadlineSignal(timeoutMs: number): { signal: AbortSignal; clear(): void } {
  const deadline = new AbortController()
  let cleared = false
  const timer = setTimeout(async () => {
    // After a stall Node runs timers before it reads the answer that already lies in the socket.
    for (let turns = 0; turns < turnsToRead && !cleared; turns++) await turn()
    deadline.abort(new DOMException('The issuer did not answer in time', 'TimeoutError'))
  }, timeoutMs).unref()
  return {
    signal: deadline.signal,
    clear() {
      cleared = true
      clearTimeout(timer)
    },
  }
}
