import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { parseArgs } from 'node:util'

/**
 * Part of `npm run check`: fails when folders of the production code import each other in a circle, type imports
 * included, so that each folder can be read knowing only the folders below it.
 *
 * @param --root another tree than this one, for the test of this check
 */
const { values } = parseArgs({ options: { root: { type: 'string' } } })
const root = values.root ?? join(import.meta.dirname, '../..')

const folders = importedFolders()
const circle = findCircle(folders)
if (circle) {
  console.error(`Folders import each other in a circle: ${circle.join(' → ')}`)
  for (const [from, to] of pairs(circle)) {
    for (const line of folders.get(from)?.get(to) ?? []) console.error(`  ${line}`)
  }
  process.exitCode = 1
} else console.log(`${folders.size} folders, no circle`)

/** For each folder the folders that it imports, with the import statements. */
function importedFolders(): Map<string, Map<string, string[]>> {
  const found = new Map<string, Map<string, string[]>>()
  const files = globSync(['*.ts', '{config,http,lib,plugins,routes}/**/*.ts'], { cwd: root })
  for (const file of files) {
    const from = dirname(file)
    const imported = found.get(from) ?? new Map<string, string[]>()
    found.set(from, imported)
    for (const [, path = ''] of readFileSync(join(root, file), 'utf8').matchAll(/\bfrom '(\.[^']+)'/g)) {
      const target = normalize(join(from, path))
      const to = dirname(target)
      if (to !== from) imported.set(to, [...(imported.get(to) ?? []), `${file} imports ${target}`])
    }
  }
  return found
}

/** The folders of one circle, the first repeated at the end, or nothing. */
function findCircle(graph: Map<string, Map<string, string[]>>): string[] | undefined {
  const done = new Set<string>()
  const visit = (folder: string, path: string[]): string[] | undefined => {
    const start = path.indexOf(folder)
    if (start >= 0) return [...path.slice(start), folder]
    if (done.has(folder)) return undefined
    for (const next of graph.get(folder)?.keys() ?? []) {
      const circle = visit(next, [...path, folder])
      if (circle) return circle
    }
    done.add(folder)
    return undefined
  }
  for (const folder of graph.keys()) {
    const circle = visit(folder, [])
    if (circle) return circle
  }
  return undefined
}

function pairs(circle: string[]): [from: string, to: string][] {
  return circle.slice(1).map((to, i) => [circle[i] ?? '', to])
}
