import { randomBytes } from 'node:crypto'
import { doubts } from './doubts.ts'
import { ConfigurationError, faultsOf, namingOf } from './faults.ts'
import type { Files } from './files.ts'
import { asInput, type Environment, fit, gather } from './given.ts'
import type { Given, OptionTree } from './option-tree.ts'
import { rulesOf } from './rules.ts'
import {
  type GatewayOptions,
  optionOf,
  optionsSchema,
  settled,
  type UpstreamOptions,
  upstreamDefaults,
} from './schema/index.ts'
import { formatDuration } from './schema/option.ts'
import { makeKey } from './schema/parsers.ts'
import { securityWarnings } from './security-warnings.ts'

export interface LoadedOptions {
  options: GatewayOptions
  /** Warnings, a sentence each, about settings that are probably not intended. */
  warnings: string[]
}

/**
 * The options of one gateway.
 *
 * @param tree of a file that has been read, or of the plugin's options
 * @param now milliseconds since the epoch, to know whether a certificate has expired
 * @throws ConfigurationError that lists every fault at once
 */
export function loadOptions(
  environment: Environment,
  tree: OptionTree | undefined,
  files: Files,
  now = Date.now(),
): LoadedOptions {
  const production = environment['NODE_ENV'] === 'production'
  const { given, faults } = gather(environment, tree)
  const named = namingOf(given, tree !== undefined && tree.path === undefined)
  const defaults = dependentDefaults(given, files, production)
  const input = asInput(new Map([...given, ...defaults.values]), tree, files)

  const isApiInTree = given.get('apiUrl') !== undefined && given.get('apiUrl') === tree?.values.get('apiUrl')
  const checked = optionsSchema.check(...rulesOf(files, isApiInTree)).safeParse(input, { reportInput: true })
  const told = checked.error ? faultsOf(checked.error, tree, named) : []
  const all = [...(tree?.faults ?? []), ...faults, ...told]
  if (all.length > 0 || !checked.data) throw new ConfigurationError(all)

  const values = settled(optionsSchema, checked.data)
  const options = { ...values, upstreams: withApi(values), diagnostics: !production }
  const warnings = [
    ...defaults.warnings,
    ...doubts(options, { environment, files, now }),
    ...securityWarnings(options),
  ]
  return { options, warnings: warnings.map(named) }
}

/** Defaults that depend on other options or on production. */
function dependentDefaults(given: Map<string, Given>, files: Files, production: boolean) {
  const values = new Map<string, Given>()
  const warnings: string[] = []
  const fill = (key: string, value: string) => values.set(key, { value, label: '', folder: '' })
  const read = (key: string): unknown => {
    const [option, source] = [optionOf.get(key), values.get(key) ?? given.get(key)]
    return option?.schema.safeParse(source && fit(option, source, files)).data
  }

  const port = read('port')
  if (!given.has('publicUrl') && !production) {
    fill('publicUrl', `${given.has('tls.certFile') ? 'https' : 'http'}://localhost:${port ?? 0}`)
    if (port === 0)
      warnings.push(
        '{publicUrl} is not set and {port} is 0: signing in needs a {publicUrl} that leads to the gateway',
      )
  }
  if (!given.has('session.keys') && !production) {
    fill('session.keys', randomBytes(32).toString('base64'))
    warnings.push(
      `{session.keys} is not set: sessions end with this process, whose key is random (${makeKey})`,
    )
  }
  if (!given.has('metricsHost') && given.has('host')) fill('metricsHost', String(read('host')))
  // With only a short lifetime given, the default idle timeout is limited to it.
  const [idle, lifetime] = [Number(read('session.idleTimeout')), Number(read('session.lifetime'))]
  if (!given.has('session.idleTimeout') && lifetime < idle)
    fill('session.idleTimeout', formatDuration(lifetime))

  const publicUrl = read('publicUrl')
  if (!given.has('cookie.name') && publicUrl instanceof URL && publicUrl.protocol === 'https:')
    fill('cookie.name', '__Host-bff')
  if (!given.has('session.binding') && publicUrl instanceof URL && publicUrl.protocol === 'http:')
    fill('session.binding', 'off')
  return { values, warnings }
}

/** `apiUrl` is short for an upstream at `/api`. In the environment it wins over one of the file. */
function withApi({ apiUrl, upstreams }: { apiUrl?: URL; upstreams: UpstreamOptions[] }): UpstreamOptions[] {
  if (!apiUrl) return upstreams
  const others = upstreams.filter(({ prefix }) => prefix !== '/api')
  return [{ ...upstreamDefaults(), prefix: '/api', target: apiUrl }, ...others]
}
