import { readFileSync } from 'node:fs'

/** Return URLs to which no login or logout may redirect. */
export function openRedirects(): string[] {
  return linesOf('open-redirects.txt').map((line) => JSON.parse(line) as string)
}

/** Paths in a request line below a prefix that must never reach an upstream. */
export function pathTraversals(): string[] {
  return linesOf('path-traversals.txt')
}

/** The lines of a file in test/data, without comments. */
function linesOf(name: string): string[] {
  const text = readFileSync(new URL(`../data/${name}`, import.meta.url), 'utf8')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('# '))
}
