import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A file with this content, until the test ends. @returns its path */
export function temporaryFile(t: TestContext, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-file-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'file')
  writeFileSync(path, content)
  return path
}
