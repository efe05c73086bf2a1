/** Secrets that must never be logged, each with a name. */
export type Secrets = ReadonlyMap<string, string>

export interface Leak {
  /** Name of the secret. */
  kind: string
  /** The line that contains it. */
  line: string
}

/** Long enough that other text does not match by chance. */
export const minSecretLength = 16

/** The lines of a text that contain a secret of at least `minSecretLength`. */
export function findLeaks(text: string, secrets: Secrets): Leak[] {
  const byBeginning = Map.groupBy(secrets.keys(), (secret) => secret.slice(0, minSecretLength))
  if (byBeginning.size === 0) return []
  return text.split('\n').flatMap((line) => {
    const found = secretsIn(line, byBeginning)
    return [...found].map((secret) => ({ kind: secrets.get(secret) ?? '', line }))
  })
}

/** Looks up the text at each position: searching for each of thousands of secrets would take too long. */
function secretsIn(line: string, byBeginning: Map<string, string[]>): Set<string> {
  const found = new Set<string>()
  for (let i = 0; i <= line.length - minSecretLength; i++) {
    const candidates = byBeginning.get(line.slice(i, i + minSecretLength))
    for (const secret of candidates ?? []) if (line.startsWith(secret, i)) found.add(secret)
  }
  return found
}

/** A secret in the encodings in which it is sent, and could be logged. */
export function formsOf(secret: string): string[] {
  const forms = [
    secret,
    encodeURIComponent(secret),
    decoded(secret),
    btoa(unescape(encodeURIComponent(secret))),
  ]
  // Only the signature is secret: header and payload are the same in many tokens, or harmless.
  const [, , signature] = /^[\w-]+\.[\w-]+\.[\w-]+$/.test(secret) ? secret.split('.') : []
  return [...forms, ...(signature ? [signature] : [])].filter(({ length }) => length >= minSecretLength)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
