/** What concerns one connection alone. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** A test for headers that end here: the standard ones and those that `Connection` names. */
export function endsHere(connection: string | string[] | undefined): (name: string) => boolean {
  if (connection === undefined) return (name) => hopByHop.has(name)
  const named = new Set(
    String(connection)
      .split(',')
      .map((name) => name.trim().toLowerCase()),
  )
  return (name) => hopByHop.has(name) || named.has(name)
}
