import { ConfigurationError } from './faults.ts'
import { type Files, systemFiles } from './files.ts'
import { type FrontendTree, frontendFaults, frontendTrees } from './frontends.ts'
import type { Environment } from './given.ts'
import { type LoadedOptions, loadOptions } from './load-options.ts'
import { type OptionTree, readConfigFile } from './option-tree.ts'
import type { GatewayOptions } from './schema/index.ts'

export interface LoadedConfig extends LoadedOptions {
  /** With several frontends: the options of each, shared ones included; `options` are those of the first. */
  frontends?: [GatewayOptions, ...GatewayOptions[]]
}

/**
 * Options from environment variables and the file that `CONFIG_FILE` names; the environment wins.
 * Apart from files it only uses random bytes, for a key that is not given.
 *
 * @param now milliseconds since the epoch, to know whether a certificate has expired
 * @throws ConfigurationError that lists every fault at once
 */
export function loadConfig(
  environment: Environment,
  files: Files = systemFiles,
  now = Date.now(),
): LoadedConfig {
  const configFile = environment['CONFIG_FILE']?.trim()
  const file = configFile ? readConfigFile(configFile, files) : undefined
  return file?.frontends === undefined
    ? loadOptions(environment, file, files, now)
    : loadFrontends(environment, file, files, now)
}

function loadFrontends(environment: Environment, file: OptionTree, files: Files, now: number): LoadedConfig {
  const entries = frontendTrees(file, file.path ?? '')
  if (typeof entries === 'string') throw new ConfigurationError([...file.faults, entries])
  const results = entries.map((entry) =>
    attempt(() => loadOptions(without(environment, entry), entry.tree, files, now)),
  )
  const loaded = results.filter((result) => 'options' in result)
  const all = loaded.map(({ options }) => options)
  const faults = [
    ...file.faults,
    ...named(
      entries,
      results.map((result) => ('options' in result ? [] : result.faults)),
    ),
    ...(loaded.length === entries.length ? frontendFaults(all, file.path ?? '') : []),
  ]
  const [options, ...others] = all
  if (faults.length > 0 || !options) throw new ConfigurationError(faults)
  const warnings = named(
    entries,
    loaded.map((result) => result.warnings),
  )
  return { options, frontends: [options, ...others], warnings }
}

/** An entry's own options take precedence over the environment. */
function without(environment: Environment, { ownVariables }: FrontendTree): Environment {
  const own = new Set(ownVariables.flatMap((name) => [name, `${name}_FILE`]))
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !own.has(name)))
}

function attempt(load: () => LoadedOptions): LoadedOptions | ConfigurationError {
  try {
    return load()
  } catch (error) {
    if (error instanceof ConfigurationError) return error
    throw error
  }
}

/** Adds the frontend to a sentence, unless it concerns all of them. */
function named(entries: FrontendTree[], sentences: (readonly string[])[]): string[] {
  const isCommon = (sentence: string) => sentences.every((those) => those.includes(sentence))
  const all = sentences.flatMap((those, index) => {
    const name = entries[index]?.name ?? ''
    return those.map((it) =>
      it.startsWith(`${name}.`) || it.startsWith(`${name} `) || isCommon(it) ? it : `${name}: ${it}`,
    )
  })
  return [...new Set(all)]
}
