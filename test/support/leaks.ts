/** What must never be told, each with a word for what it is. */
export type Secrets = ReadonlyMap<string, string>

export interface Leak {
  /** Of the secret. */
  kind: string
  /** The line that holds it. */
  line: string
}

/** Long enough that nothing else looks like it by chance. */
export const minSecretLength = 16

/** The lines of a text that hold a secret. What is shorter than `minSecretLength` is not looked for. */
export function findLeaks(text: string, secrets: Secrets): Leak[] {
  const byBeginning = Map.groupBy(secrets.keys(), (secret) => secret.slice(0, minSecretLength))
  if (byBeginning.size === 0) return []
  return text.split('\n').flatMap((line) => {
    const found = secretsIn(line, byBeginning)
    return [...found].map((secret) => ({ kind: secrets.get(secret) ?? '', line }))
  })
}

/** Looks up what stands at each place: with thousands of secrets, to search for each of them takes too long. */
function secretsIn(line: string, byBeginning: Map<string, string[]>): Set<string> {
  const found = new Set<string>()
  for (let i = 0; i <= line.length - minSecretLength; i++) {
    const candidates = byBeginning.get(line.slice(i, i + minSecretLength))
    for (const secret of candidates ?? []) if (line.startsWith(secret, i)) found.add(secret)
  }
  return found
}

/** A secret in the forms in which it travels, and in which it could be written down. */
export function formsOf(secret: string): string[] {
  const forms = [
    secret,
    encodeURIComponent(secret),
    decoded(secret),
    btoa(unescape(encodeURIComponent(secret))),
  ]
  // The signature makes the token: what comes before it is the same in many, or harmless.
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
