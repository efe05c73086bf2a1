/** Parameters of one challenge, with lower-case names. */
export type Challenge = Record<string, string>

/**
 * The parameters of each challenge of a `WWW-Authenticate` header, of any scheme. Malformed parts are skipped.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string | string[] = ''): Challenge[] {
  const challenges: Challenge[] = []
  const part = /([^\s,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,"]*)))?|"(?:[^"\\]|\\.)*"?/g
  for (const [, name, quoted, token] of [header].flat().join(', ').matchAll(part)) {
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? token
    const current = challenges.at(-1)
    if (name === undefined) continue
    if (value === undefined) challenges.push(Object.create(null))
    else if (current && !(name.toLowerCase() in current)) current[name.toLowerCase()] = value
  }
  return challenges
}

/** Whether a challenge has this error, in any case. */
export function hasError({ error }: Challenge, code: string): boolean {
  return error?.toLowerCase() === code
}
