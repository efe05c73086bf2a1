import type { Session } from './session.ts'

/** A claim as a frontend sees it. */
export interface Claim {
  type: string
  value: string
}

/** ID token claims about the token itself, not about the user. */
const protocolClaims = new Set([
  'iss',
  'aud',
  'azp',
  'exp',
  'iat',
  'nbf',
  'jti',
  'nonce',
  'at_hash',
  'c_hash',
  's_hash',
])

/**
 * Members that hold tokens, at any depth. Distributed claims contain an access token for their source.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AggregatedDistributedClaims
 */
const tokenMembers = /^(_claim_(names|sources)|(access|refresh|id)_?token)$/i

/** Claims of the gateway's own in `/bff/user`. */
const ownPrefix = 'bff:'

/**
 * The claims to store: those about the user, without tokens.
 * @param tokens of the same login. A claim that repeats one of them is dropped.
 */
export function userClaims(
  claims: Record<string, unknown>,
  tokens: readonly string[] = [],
): Record<string, unknown> {
  const kept = Object.entries(claims).filter(
    ([type]) => !protocolClaims.has(type) && !type.startsWith(ownPrefix),
  )
  // Also in their URL-encoded form.
  const forms = new Set(tokens.flatMap((token) => [token, encodeURIComponent(token.toWellFormed())]))
  return withoutTokens(Object.fromEntries(kept), [...forms]) as Record<string, unknown>
}

/** Shorter tokens occur in other text by chance ("1" in a date), so these must match the whole text. */
const minDistinctiveLength = 8

/** Whether a text contains one of these tokens; short ones only match the whole text. */
function holdsToken(text: string, tokens: readonly string[]): boolean {
  return tokens.some((token) =>
    token.length < minDistinctiveLength ? token !== '' && text === token : text.includes(token),
  )
}

/**
 * Deeper values are dropped: real claims are not nested so deeply, and those of a broken issuer could overflow the
 * stack.
 */
const maxDepth = 20

/** Copies a JSON value without members that contain tokens. */
export function withoutTokens(value: unknown, tokens: readonly string[] = [], depth = 0): unknown {
  if (typeof value === 'string') return holdsToken(value, tokens) ? undefined : value
  if (typeof value !== 'object' || value === null) return value
  if (depth > maxDepth) return undefined
  const cleaned = (member: unknown) => withoutTokens(member, tokens, depth + 1)
  if (Array.isArray(value)) return value.map(cleaned).filter((item) => item !== undefined)
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !tokenMembers.test(name) && !holdsToken(name, tokens))
      .map(([name, member]) => [name, cleaned(member)])
      .filter(([, member]) => member !== undefined),
  )
}

/**
 * The claims of a session as a list of strings, as Duende BFF sends them: a claim with several plain values is
 * repeated; an object, and an array that holds one, is JSON text. Records of an older version are cleaned here.
 */
export function claimList(claims: Record<string, unknown>): Claim[] {
  return Object.entries(userClaims(claims)).flatMap(([type, value]) =>
    valuesOf(value).map((one) => ({ type, value: one })),
  )
}

function valuesOf(value: unknown): string[] {
  if (value === null || value === undefined) return []
  if (!Array.isArray(value)) return [textOf(value)]
  return value.some((item) => typeof item === 'object' && item !== null)
    ? [JSON.stringify(value)]
    : value.filter((item) => item !== null && item !== undefined).map(textOf)
}

function textOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** The public view of a session: contains no token and no key. */
export interface SessionInfo {
  issuer: string
  /** The issuer's `sub`. */
  subject: string
  /** The issuer's `sid`, or a random one if it sends none. */
  sid: string
  claims: Record<string, unknown>
  /** Milliseconds since the epoch. */
  createdAt: number
  /** When it expires unless it is used, in milliseconds since the epoch. */
  expiresAt: number
}

export function sessionInfo({ record, expiresAt }: Pick<Session, 'record' | 'expiresAt'>): SessionInfo {
  const { issuer, subject, sid, createdAt } = record
  // Filtered again: records of older versions may contain claims with tokens.
  return { issuer, subject, sid, claims: userClaims(record.claims), createdAt, expiresAt }
}
