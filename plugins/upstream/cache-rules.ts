/**
 * Makes a cache that several users share keep its hands off: what the gateway answers belongs to one session, and
 * a cache in front sees no `Authorization` that would tell it so.
 *
 * `public` and `s-maxage` become `private`; where nothing is said of caching, nothing is stored.
 *
 * @param value of the upstream's `Cache-Control`
 * @param saysOtherwise it has `Expires` or `Pragma`, which by themselves allow shared caching too
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function privateCacheControl(value: string | undefined, saysOtherwise: boolean): string {
  const directives = split(value ?? '')
  if (directives.length === 0) return saysOtherwise ? 'private' : 'no-store'

  const kept = directives.filter((directive) => !isShared(directive))
  // `private="name"` speaks of that one header alone.
  const isPrivate = kept.some((directive) => /^(private|no-store)$/i.test(directive))
  return (isPrivate ? kept : ['private', ...kept]).join(', ')
}

function isShared(directive: string): boolean {
  return (
    /^(public|s-maxage|proxy-revalidate|private)\s*(=|$)/i.test(directive) && !/^private$/i.test(directive)
  )
}

/** At commas, but for those in quotes. */
function split(value: string): string[] {
  const directives = value.match(/(?:[^,"]|"(?:\\.|[^"\\])*"?)+/g) ?? []
  return directives.map((directive) => directive.trim()).filter((directive) => directive !== '')
}
