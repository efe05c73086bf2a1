import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')

/** The decorators of each plugin, read from the code. */
const files = globSync('plugins/**/index.ts', { cwd: root }).map((file) => {
  const text = readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  return { file, text, names: [...text.matchAll(/name: '([\w-]+)'/g)].map(([, name = '']) => name) }
})

/** Decorators set in another scope, or read where they may be missing. */
const optional = new Set<string>(['bff'])

test('each plugin names in its dependencies every plugin whose decorators it uses', () => {
  const decoratedBy = new Map<string, string>()
  for (const { text } of files) {
    for (const { 1: decorator = '', index } of text.matchAll(/decorate(?:Request)?\(\s*'(\w+)'/g)) {
      // A plugin's name follows its function.
      decoratedBy.set(decorator, /name: '([\w-]+)'/.exec(text.slice(index))?.[1] ?? '')
    }
  }
  assert.ok(decoratedBy.size > 15)

  const missing: string[] = []
  for (const { file, text, names } of files) {
    const dependencies = [...text.matchAll(/dependencies: \[([^\]]*)\]/g)].flatMap(([, list = '']) =>
      [...list.matchAll(/'([\w-]+)'/g)].map(([, name = '']) => name),
    )
    const used = [...text.matchAll(/\b(?:app|request|server)\.(\w+)/g)].map(([, name = '']) => name)
    const taken = [...text.matchAll(/const \{([^}]*)\} = app\b/g)].flatMap(([, list = '']) =>
      list.split(',').map((part) => part.split(':')[0]?.trim() ?? ''),
    )
    for (const decorator of new Set([...used, ...taken])) {
      const owner = decoratedBy.get(decorator)
      if (owner === undefined || optional.has(decorator) || names.includes(owner)) continue
      if (!dependencies.includes(owner)) missing.push(`${file} uses ${decorator} of ${owner}`)
    }
  }
  assert.deepEqual(missing, [])
})
