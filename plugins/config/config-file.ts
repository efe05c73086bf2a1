import { type Files, readingFault } from './files.ts'
import { looksLikeContent } from './mask.ts'
import { nearest, simplify } from './nearest.ts'
import { fileVariable, type SettingName, secretNames, settingNames, settingOf } from './settings.ts'

export interface FileValue {
  text: string
  label: string
  /** `text` is the path of a file that holds the value. */
  isFile?: true
}

export interface ConfigFile {
  path: string
  /** What the file says of each variable, as text, and where. */
  values: Map<SettingName, FileValue>
  /** As they stand in the file, not yet checked. */
  upstreams: unknown
  /** Likewise, if there are several. */
  frontends?: unknown
  faults: string[]
  /** The file as a whole could not be used, so that nobody knows what it would have said. */
  unusable?: true
}

/** Reads the JSON file in which the path to a value, joined, spells a variable: case, `_` and `-` don't matter. */
export function readConfigFile(path: string, files: Files): ConfigFile {
  const file: ConfigFile = { path, values: new Map(), upstreams: undefined, faults: [] }
  // That it is no path is told by the variable's own parser.
  if (looksLikeContent(path)) return { ...file, unusable: true }
  const tree = parseFile(path, files)
  if (typeof tree === 'string') return { ...file, faults: [tree], unusable: true }
  return readOptionTree(tree, path)
}

/** Reads what such a file would hold. @param path names it in messages, and is what relative paths are relative to */
export function readOptionTree(tree: Record<string, unknown>, path: string): ConfigFile {
  const { upstreams, frontends, ...options } = tree
  const file: ConfigFile = { path, values: new Map(), upstreams, frontends, faults: [] }
  readTree(options, [], file)
  return file
}

/** The object in the file, or what is wrong with it. */
function parseFile(path: string, files: Files): Record<string, unknown> | string {
  let text: string
  try {
    text = files.readText(path)
  } catch (error) {
    return `CONFIG_FILE ${readingFault(error)}: ${path}`
  }
  try {
    const tree: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    return isObject(tree) ? tree : `CONFIG_FILE must hold a JSON object, { … }: ${path}`
  } catch (error) {
    // The parser's own message may quote a secret; the position is all we want of it.
    const [position] = /line \d+ column \d+/.exec((error as Error).message) ?? []
    const where = position ? ` at ${position}` : ''
    return `CONFIG_FILE is not valid JSON${where} (look for a missing quote or comma, or one comma too many): ${path}`
  }
}

function readTree(tree: Record<string, unknown>, parents: string[], file: ConfigFile): void {
  for (const [key, value] of Object.entries(tree)) {
    const path = [...parents, key]
    if (isObject(value) && (Object.keys(value).length > 0 || beginsOption(path))) readTree(value, path, file)
    else readValue(path, value, file)
  }
}

function readValue(path: string[], value: unknown, { path: file, values, faults }: ConfigFile): void {
  const key = keyPath(path)
  const label = `${key} in ${file}`
  const spells = (known: string) => simplify(known) === simplify(path.join(''))
  const secret = secretNames.find((known) => spells(fileVariable(known)))
  const name = secret ?? settingNames.find(spells)
  const variable = secret ? fileVariable(secret) : name
  const given = name && values.get(name)

  if (!name) faults.push(unknownOption(path, label))
  else if (name === 'CONFIG_FILE')
    faults.push(`${label} has no meaning: a file can't name another one, remove it`)
  else if (given)
    faults.push(`${label} says ${variable} once more, after ${given.label}: keep one of the two`)
  else {
    const text = asText(value, settingOf(name).separator)
    if (text === undefined) faults.push(`${label} ${expected(settingOf(name).separator)}`)
    else if (text !== '') {
      const named = key === variable ? label : `${key} (${variable}) in ${file}`
      values.set(name, { text, label: named, ...(secret && { isFile: true }) })
    }
  }
}

function beginsOption(path: string[]): boolean {
  return [...settingNames, ...secretNames.map(fileVariable)].some((known) =>
    simplify(known).startsWith(simplify(path.join(''))),
  )
}

function unknownOption(path: string[], label: string): string {
  const known = [...settingNames, ...secretNames.map(fileVariable), 'upstreams', 'frontends']
  const guess = nearest(path.join('_'), known)
  return `${label} is no option: ${guess ? `did you mean ${guess}?` : 'remove it, or look at the list of options in the README'}`
}

/** As the environment would say it; nothing when it could not. */
function asText(value: unknown, separator: string | undefined): string | undefined {
  if (Array.isArray(value)) {
    const texts = value.map((entry) => asText(entry, undefined))
    return separator && !texts.includes(undefined) ? texts.join(separator) : undefined
  }
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value).trim() : undefined
}

function expected(separator: string | undefined): string {
  return separator === undefined
    ? 'must be a string, a number or a boolean'
    : 'must be a string, a number, a boolean or an array of these'
}

function keyPath(path: string[]): string {
  return path.map((segment) => (/^[\w$-]+$/.test(segment) ? segment : JSON.stringify(segment))).join('.')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
