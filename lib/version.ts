import { readFileSync } from 'node:fs'

/** The version of this package; undefined where its package.json is missing. */
export function packageVersion(): string | undefined {
  // From the source, and from `dist`.
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'fastify-bff') return version
    } catch {
      // Not there.
    }
  }
  return undefined
}
