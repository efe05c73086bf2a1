import { readFileSync } from 'node:fs'
import { codeSpans, tableRows } from './markdown.ts'

/** A rule of the standards, the code that meets it, and the title of its test. */
export interface Rule {
  rule: string
  metIn: string
  heldBy: string
}

/** The rules of docs/bcp.md. */
export function rules(): Rule[] {
  const text = readFileSync(new URL('../../docs/bcp.md', import.meta.url), 'utf8')
  return tableRows(text, '| Rule | Met in | Held by |').map(([rule = '', metIn = '', heldBy = '']) => ({
    rule,
    metIn: codeSpans(metIn)[0] ?? '',
    heldBy: codeSpans(heldBy)[0] ?? '',
  }))
}

/** Rules whose test has not passed. */
export function unheldRules(passed: ReadonlySet<string>): Rule[] {
  return rules().filter(({ heldBy }) => !passed.has(heldBy))
}
