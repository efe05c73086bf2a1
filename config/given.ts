import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { isObject } from '../lib/type-guards.ts'
import { type Files, readOr, Unreadable } from './files.ts'
import type { Given, OptionTree } from './option-tree.ts'
import { type Option, options, optionsOf, optionsSchema } from './schema/index.ts'
import { looksLikeContent } from './schema/mask.ts'
import { unwrap } from './schema/option.ts'
import { upstreamSchema } from './schema/upstream.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The given value of each option. The environment wins over the tree; an empty variable counts as unset. */
export function gather(environment: Environment, tree: OptionTree | undefined) {
  const given = new Map(tree?.values)
  const faults: string[] = []
  const said = (name: string) => environment[name]?.trim() || undefined
  for (const { key, env, secret } of options) {
    const [text, path] = [said(env), secret && said(`${env}_FILE`)]
    if (text && path) faults.push(`${env} and ${env}_FILE are both set: remove one`)
    if (text) given.set(key, { value: text, label: env, folder: '' })
    else if (path) given.set(key, { value: path, label: `${env}_FILE`, folder: '', isFile: true })
  }
  return { given, faults }
}

/** The input of the schema: the given values as a tree, each in the type of its option. */
export function asInput(given: Map<string, Given>, tree: OptionTree | undefined, files: Files) {
  const input: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(optionsSchema.shape))
    if (member instanceof z.ZodObject) input[name] = {}
  for (const option of options) {
    const source = given.get(option.key)
    const [name = '', member] = option.key.split('.')
    if (source && member === undefined) input[name] = fit(option, source, files)
    else if (source && member)
      input[name] = { ...(input[name] as object), [member]: fit(option, source, files) }
  }
  if (tree?.upstreams !== undefined) input['upstreams'] = upstreams(tree, files)
  return input
}

/** Text converted to the type that the schema expects. */
export function fit({ schema, file }: Option, { value, folder, isFile }: Given, files: Files): unknown {
  if (typeof value !== 'string') return value
  if (isFile) return secretIn(resolve(folder, value), files)
  if (file === 'path') return looksLikeContent(value) ? value : resolve(folder, value)
  const inner = unwrap(schema)
  if (inner instanceof z.ZodBoolean) return { true: true, false: false }[value.toLowerCase()] ?? value
  if (inner instanceof z.ZodNumber) return /^\d+$/.test(value) ? Number(value) : value
  return inner instanceof z.ZodEnum ? value.toLowerCase() : value
}

const upstreamOptions = new Map(optionsOf(upstreamSchema).map((option) => [option.key, option]))

/** With texts trimmed, and the contents of files that an upstream names. */
function upstreams({ upstreams, path = '' }: OptionTree, files: Files): unknown {
  if (!Array.isArray(upstreams)) return upstreams
  return upstreams.map((entry: unknown) => {
    if (!isObject(entry)) return entry
    const members = Object.entries(entry).map(([name, value]) => {
      const text = trimmed(value)
      const option = upstreamOptions.get(name)
      if (typeof text !== 'string' || !option) return [name, text]
      if (option.file === 'content' && !looksLikeContent(text))
        return [name, contentOf(resolve(dirname(path), text), files)]
      return [name, unwrap(option.schema) instanceof z.ZodEnum ? text.toLowerCase() : text]
    })
    return Object.fromEntries(members)
  })
}

function trimmed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(trimmed)
  return typeof value === 'string' ? value.trim() : value
}

/** The message of a fault contains the path. */
function contentOf(path: string, files: Files): string | Unreadable {
  const text = readOr(path, files)
  return text instanceof Unreadable ? new Unreadable(`${text.message}: ${path}`) : text
}

/** Without the line break that editors add. No message contains the path: it may be the secret, given by mistake. */
function secretIn(path: string, files: Files): string | Unreadable {
  const text = readOr(path, files)
  if (text instanceof Unreadable) return text
  const secret = text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '')
  return secret.trim() === '' ? new Unreadable('names a file that is empty') : secret
}
