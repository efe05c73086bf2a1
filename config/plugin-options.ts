import type { BffConfiguration } from './bff-configuration.ts'
import { type Files, systemFiles } from './files.ts'
import { type LoadedOptions, loadOptions } from './load-options.ts'
import { simplify } from './nearest.ts'
import { readOptionTree } from './option-tree.ts'
import { isServers } from './schema/index.ts'

/**
 * Options of the plugin, checked like a configuration file. Nothing is read from the environment, and options that
 * production requires have no random default.
 *
 * @throws ConfigurationError that lists every fault at once
 */
export function resolveOptions(given: BffConfiguration, files: Files = systemFiles): LoadedOptions {
  const tree = readOptionTree(asTree(given) as Record<string, unknown>)
  if (tree.frontends !== undefined)
    tree.faults.push('frontends has no meaning in the options: register the plugin once for each')
  for (const [key, { label }] of tree.values)
    if (isServers(key)) tree.faults.push(`${label} is for the server of the application to decide: remove it`)
  return loadOptions({ NODE_ENV: 'production' }, tree, files)
}

/** The value as in a JSON file. */
function asTree(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (value instanceof URL || value instanceof URLSearchParams) return value.toString()
  if (Array.isArray(value)) return value.map(asTree)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(members.map(([name, member]) => [name, asTree(member)]))
}

/** Options of Fastify's `register`. */
const registerOptions = ['prefix', 'logLevel', 'logSerializers', 'encapsulate'].map(simplify)

/** The options without those of `register`. */
export function withoutRegisterOptions<Options extends object>(options: Options): Options {
  const own = Object.entries(options).filter(([name]) => !registerOptions.includes(simplify(name)))
  return Object.fromEntries(own) as Options
}
