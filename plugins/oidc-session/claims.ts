/** A claim as a frontend sees it. */
export interface Claim {
  type: string
  value: string | number | boolean
}

/** What an ID token says to the relying party about itself and not about the user. */
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

export function withoutProtocolClaims(claims: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(claims).filter(([type]) => !protocolClaims.has(type)))
}

/** One entry per value: a claim with several is repeated, one that is an object is given as JSON text. */
export function claimList(claims: Record<string, unknown>): Claim[] {
  return Object.entries(claims).flatMap(([type, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((item) => item !== null && item !== undefined)
      .map((item) => ({ type, value: isPrimitive(item) ? item : JSON.stringify(item) })),
  )
}

function isPrimitive(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value)
}
