/**
 * Keeps answers out of shared caches: an answer belongs to one session, but a cache in front of the gateway sees no
 * `Authorization` header from which it could tell.
 *
 * `public` and `s-maxage` become `private`; without any caching header the answer gets `no-store`.
 *
 * @param value the upstream's `Cache-Control`
 * @param hasOtherRules the answer has `Expires` or `Pragma`, which also allow shared caching
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function privateCacheControl(value: string | undefined, hasOtherRules: boolean): string {
  const directives = split(value ?? '')
  if (directives.length === 0) return hasOtherRules ? 'private' : 'no-store'

  const kept = directives.filter((directive) => !isShared(directive))
  // `private="name"` applies to that one header only.
  const isPrivate = kept.some((directive) => /^(private|no-store)$/i.test(directive))
  return (isPrivate ? kept : ['private', ...kept]).join(', ')
}

function isShared(directive: string): boolean {
  return (
    /^(public|s-maxage|proxy-revalidate|private)\s*(=|$)/i.test(directive) && !/^private$/i.test(directive)
  )
}

/** Splits at commas outside of quotes. */
function split(value: string): string[] {
  const directives = value.match(/(?:[^,"]|"(?:\\.|[^"\\])*"?)+/g) ?? []
  return directives.map((directive) => directive.trim()).filter((directive) => directive !== '')
}
