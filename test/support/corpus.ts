import { readFileSync } from 'node:fs'

/** What must never come out of a login or logout as a place to go. */
export function openRedirects(): string[] {
  return linesOf('open-redirects.txt').map((line) => JSON.parse(line) as string)
}

/** Paths, as they stand in a request line below a prefix, that must never reach an upstream. */
export function pathTraversals(): string[] {
  return linesOf('path-traversals.txt')
}

/** Those of a file in test/data that are no comments. */
function linesOf(name: string): string[] {
  const text = readFileSync(new URL(`../data/${name}`, import.meta.url), 'utf8')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('# '))
}
