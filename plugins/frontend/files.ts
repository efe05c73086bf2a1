import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { type InlineCode, inlineCode } from './inline-code.ts'

/** In this order: with SSR, Angular's `index.html` is its start page, if any, and `index.csr.html` is for all others. */
const pages = ['index.csr.html', 'index.html']

/** Name of the page for every path that is no file. */
export function applicationPage(staticDir: string): string {
  const exists = (page: string) => statSync(join(staticDir, page), { throwIfNoEntry: false })?.isFile()
  return pages.find(exists) ?? 'index.html'
}

/**
 * Glob patterns of files that get no route of their own: hidden ones, except those of `.well-known` (RFC 8615), and
 * those that {@link unroutableFiles} returns.
 */
export const withoutRoute = [
  '**/.*',
  '**/.!(well-known)/**',
  '*/**/.well-known/**',
  '**/*[*:]*',
  '**/*[*:]*/**',
]

/** Files in whose path the router would take `*` or `:` for a wildcard or a parameter, with slashes. */
export function unroutableFiles(staticDir: string): ReadonlySet<string> {
  const entries = readdirSync(staticDir, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(staticDir, join(parentPath, name)).replaceAll(sep, '/'))
  return new Set(files.filter((path) => /[*:]/.test(path) && !isHidden(path)))
}

function isHidden(path: string): boolean {
  return path.split('/').some((name) => name.startsWith('.'))
}

/** The inline code of the frontend's pages, read again when a file changes. */
export function createPageReader(): (path: string) => InlineCode {
  const known = new Map<string, { version: string; code: InlineCode }>()
  return (path) => {
    const { mtimeMs, size, ino } = statSync(path)
    const version = `${mtimeMs}-${size}-${ino}`
    const before = known.get(path)
    if (before?.version === version) return before.code
    const code = inlineCode(readFileSync(path, 'utf8'))
    known.set(path, { version, code })
    return code
  }
}
