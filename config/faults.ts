import type { z } from 'zod'
import { Unreadable } from './files.ts'
import { nearest } from './nearest.ts'
import { type Given, type OptionTree, placeOf } from './option-tree.ts'
import { type Option, optionOf, optionsOf } from './schema/index.ts'
import { quote } from './schema/mask.ts'
import { upstreamSchema } from './schema/upstream.ts'

/** The configuration can't be used. The message has a line for each fault and holds no secret. */
export class ConfigurationError extends Error {
  readonly code = 'CONFIGURATION_INVALID'
  /** One sentence each: which option, what is wrong, how to fix it. */
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`
    super(`The configuration has ${count}:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
    this.name = 'ConfigurationError'
    this.faults = faults
  }
}

/** Inserts the names of options into messages: as the reader has set them, or could set them. */
export type Naming = (message: string) => string

/** @param isPlugin the reader sets options in code, not in the environment */
export function namingOf(given: Map<string, Given>, isPlugin: boolean): Naming {
  const nameOf = (key: string) => given.get(key)?.label ?? (isPlugin ? key : optionOf.get(key)?.env)
  return (message) => message.replaceAll(/\{([\w.]+)\}/g, (all, key) => nameOf(key) ?? all)
}

const upstreamOptions = optionsOf(upstreamSchema)

/** The schema's issues as sentences that begin with the name of an option. */
export function faultsOf(error: z.ZodError, tree: OptionTree | undefined, named: Naming): string[] {
  return error.issues.flatMap((issue) => {
    const { label, option } = subjectOf(issue.path, tree ?? {}, named)
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => unknownOfUpstream(key, issue.path, tree ?? {}))
    if (isMissing(issue)) {
      // It may be in the file that can't be read, whose fault is enough.
      return tree?.unusable ? [] : named(`${label} is missing: ${option?.missing}`)
    }
    return `${label}${label && ' '}${named(messageOf(issue))}${option?.secret ? '' : shown(issue.input)}`
  })
}

/** The option that an issue concerns, and its name in messages. */
function subjectOf(
  path: PropertyKey[],
  tree: Pick<OptionTree, 'path'>,
  named: Naming,
): { label: string; option?: Option | undefined } {
  const index = path.find((part) => typeof part === 'number')
  if (path[0] === 'upstreams') {
    const option = upstreamOptions.find(({ key }) => key === path[2])
    return { label: placeOf(pathOf(path), tree), option }
  }
  const key = path.filter((part) => typeof part === 'string').join('.')
  const entry = index === undefined ? '' : ` (entry ${index + 1})`
  return { label: key && named(`{${key}}`) + entry, option: optionOf.get(key) }
}

/** `upstreams[0].methods[1]` */
function pathOf(path: PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1)
}

function unknownOfUpstream(key: string, path: PropertyKey[], tree: Pick<OptionTree, 'path'>): string {
  const known = upstreamOptions.map((option) => option.key)
  const guess = nearest(key, known)
  const hint = guess ? `did you mean ${guess}?` : `known are ${known.join(', ')}`
  return `${placeOf(pathOf([...path, key]), tree)} is no option: ${hint}`
}

/** Issues of rules have no input either, but another kind. */
function isMissing({ code, input }: z.core.$ZodIssue): boolean {
  return input === undefined && code !== 'custom'
}

function messageOf({ input, message }: z.core.$ZodIssue): string {
  return input instanceof Unreadable ? input.message : message
}

function shown(input: unknown): string {
  if (typeof input === 'string') return ` (it is ${quote(input)})`
  if (Array.isArray(input) && input.length > 0) return ` (it is ${quote(input.join(','))})`
  return ['number', 'boolean'].includes(typeof input) ? ` (it is ${input})` : ''
}
