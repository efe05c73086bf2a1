import { dirname } from 'node:path'
import { isObject } from '../lib/type-guards.ts'
import { type Files, readOr, Unreadable } from './files.ts'
import { nearest, simplify } from './nearest.ts'
import { acceptsArray, options } from './schema/index.ts'
import { looksLikeContent } from './schema/mask.ts'

/** An option's value in a source. */
export interface Given {
  value: string | string[]
  /** The option's name in messages: its variable, or its place in the file. */
  label: string
  /** The folder for relative paths. */
  folder: string
  /** The value is the path of a file that holds the option's value. */
  isFile?: boolean
}

/** A configuration file, or the plugin's options, which have the same form. */
export interface OptionTree {
  /** Unset for the plugin's options: messages then contain names without variables. */
  path?: string
  values: Map<string, Given>
  /** As given, not yet checked. */
  upstreams: unknown
  /** The same, if there are several. */
  frontends?: unknown
  faults: string[]
  /** The whole file could not be used, so its options are unknown. */
  unusable?: true
}

/** Reads the JSON file in which the path to a value, joined, spells a variable: case, `_` and `-` don't matter. */
export function readConfigFile(path: string, files: Files): OptionTree {
  const unusable = { path, values: new Map(), upstreams: undefined, unusable: true } as const
  // The variable's own schema reports that it is no path.
  if (looksLikeContent(path)) return { ...unusable, faults: [] }
  const tree = parseFile(path, files)
  return typeof tree === 'string' ? { ...unusable, faults: [tree] } : readOptionTree(tree, path)
}

/** Reads the content of such a file. @param path for messages and for relative paths */
export function readOptionTree(given: Record<string, unknown>, path?: string): OptionTree {
  const { upstreams, frontends, $schema: _, ...members } = given
  const tree = { ...(path !== undefined && { path }), values: new Map(), upstreams, frontends, faults: [] }
  readMembers(members, [], tree)
  return tree
}

/** The place of an option, for messages. */
export function placeOf(name: string, { path }: Pick<OptionTree, 'path'>): string {
  return path === undefined ? name : `${name} in ${path}`
}

/** The object in the file, or a fault. */
function parseFile(path: string, files: Files): Record<string, unknown> | string {
  const text = readOr(path, files)
  if (text instanceof Unreadable) return `CONFIG_FILE ${text.message}: ${path}`
  try {
    const tree: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    return isObject(tree) ? tree : `CONFIG_FILE must hold a JSON object, { … }: ${path}`
  } catch (error) {
    // The parser's own message may quote a secret; only the position is of use.
    const [position] = /line \d+ column \d+/.exec((error as Error).message) ?? []
    const where = position ? ` at ${position}` : ''
    return `CONFIG_FILE is not valid JSON${where} (look for a missing quote or comma, or one comma too many): ${path}`
  }
}

function readMembers(members: Record<string, unknown>, parents: string[], tree: OptionTree): void {
  for (const [key, value] of Object.entries(members)) {
    const path = [...parents, key]
    const isGroup = isObject(value) && (Object.keys(value).length > 0 || beginsOption(path))
    if (isGroup) readMembers(value, path, tree)
    else readValue(path, value, tree)
  }
}

function readValue(path: string[], value: unknown, tree: OptionTree): void {
  const name = path.map((part) => (/^[\w$-]+$/.test(part) ? part : JSON.stringify(part))).join('.')
  const place = placeOf(name, tree)
  const spelled = simplify(path.join(''))
  const option = options.find(
    ({ env, secret }) => isSpelled(env, spelled) || (secret && isSpelled(`${env}_FILE`, spelled)),
  )
  if (!option) {
    tree.faults.push(`${place} is no option: ${suggestion(path)}`)
    return
  }
  const isFile = !isSpelled(option.env, spelled)
  const variable = isFile ? `${option.env}_FILE` : option.env
  const named = tree.path === undefined || name === variable ? name : `${name} (${variable})`
  const before = tree.values.get(option.key)
  const isList = acceptsArray(option.schema)
  const text = asText(value, isList)
  if (option.key === 'configFile')
    tree.faults.push(`${place} has no meaning: a file can't name another one, remove it`)
  else if (before)
    tree.faults.push(`${place} says ${variable} once more, after ${before.label}: keep one of the two`)
  else if (text === undefined) {
    const kinds = isList ? 'a number, a boolean or an array of these' : 'a number or a boolean'
    tree.faults.push(`${place} must be a string, ${kinds}`)
  } else if (text.length > 0) {
    const folder = dirname(tree.path ?? '')
    tree.values.set(option.key, { value: text, label: placeOf(named, tree), folder, isFile })
  }
}

function isSpelled(env: string, spelled: string): boolean {
  return simplify(env) === spelled
}

function beginsOption(path: string[]): boolean {
  const spelled = simplify(path.join(''))
  return options.some(({ env }) => simplify(env).startsWith(spelled))
}

function suggestion(path: string[]): string {
  const guess = nearest(path.join('.'), [...options.map(({ key }) => key), 'upstreams', 'frontends'])
  return guess ? `did you mean ${guess}?` : 'remove it, or look at the list of options in the README'
}

/** The value in the form of a variable, or an array of these; undefined for other types. */
function asText(value: unknown, isList: boolean): string | string[] | undefined {
  if (Array.isArray(value)) {
    const texts = value.map((entry) => asText(entry, false))
    return isList && !texts.includes(undefined) ? (texts as string[]).filter((it) => it !== '') : undefined
  }
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value).trim() : undefined
}
