import { fingerprint } from '../issuer/events.ts'

export interface SeenAnswer {
  url: string
  headers: Headers
  body: string
}

/**
 * Searches for tokens that must not reach a browser.
 * @param known fingerprints of issued tokens
 * @returns where they were, without the tokens themselves
 */
export function findTokens({ url, headers, body }: SeenAnswer, known: ReadonlySet<string>): string[] {
  const parts: [place: string, text: string][] = [['the URL', url], ...headers, ['the body', body]]
  return parts.flatMap(([place, text]) => {
    const what = tokenIn(decoded(text), known)
    return what ? [`${what} in ${place} of ${new URL(url).pathname}`] : []
  })
}

function tokenIn(text: string, known: ReadonlySet<string>): string | undefined {
  if (/\beyJ[\w-]{8,}\.[\w-]+\./.test(text)) return 'a JWT'
  if (/\bBearer\s+[\w-]/i.test(text)) return 'a bearer token'
  const words = text.match(/[\w.~+/-]{16,}/g) ?? []
  return words.some((word) => known.has(fingerprint(word))) ? 'a known token' : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
