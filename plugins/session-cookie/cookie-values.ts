/** The values of all cookies of a name, in the order of the header: who asks for one of them gets the first. */
export function cookieValues(header: string | undefined, name: string): string[] {
  const pairs = header?.split(';').map((pair) => pair.trim()) ?? []
  return pairs
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => unescaped(pair.slice(name.length + 1)))
}

function unescaped(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
