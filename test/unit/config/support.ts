import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Files } from '../../../config/files.ts'
import { ConfigurationError, type Environment, type LoadedConfig, loadConfig } from '../../../config/index.ts'
import { options, optionsOf } from '../../../config/schema/index.ts'
import { upstreamSchema } from '../../../config/schema/upstream.ts'

/** Every variable, in the order of the documents. */
export const settingNames = options.map(({ env }) => env)

/** Variables whose value can be in the file that `NAME_FILE` names. */
export const secretNames = options.filter(({ secret }) => secret).map(({ env }) => env)

export const upstreamKeys = optionsOf(upstreamSchema).map(({ key }) => key)

/** Looks random to the check of session keys. */
export const key = createHash('sha256').update('a key of the tests').digest('base64')

/** The minimum that a gateway needs to start without a warning. */
export const minimal = {
  OIDC_ISSUER: 'https://login.example.com',
  OIDC_CLIENT_ID: 'gateway',
  SESSION_KEYS: key,
}

/** File system from an object of absolute path to text; every parent path is a folder. */
export function fakeFiles(texts: Record<string, string>): Files {
  return {
    readText(path) {
      const text = texts[path]
      if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
      return text
    },
    isDirectory: (path) => Object.keys(texts).some((known) => known.startsWith(`${path}/`)),
  }
}

/** Adds the minimal configuration. */
export function load(environment: Environment = {}, texts: Record<string, string> = {}): LoadedConfig {
  return loadConfig({ ...minimal, ...environment }, fakeFiles(texts))
}

/** With a configuration file of this content. */
export function loadFile(content: unknown, environment: Environment = {}, texts = {}): LoadedConfig {
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  return load(
    { CONFIG_FILE: '/etc/bff/gateway.json', ...environment },
    { '/etc/bff/gateway.json': text, ...texts },
  )
}

/** The faults that loading throws; fails when it throws nothing. */
export function faultsOf(run: () => unknown): readonly string[] {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error))
    return error.faults
  }
  return assert.fail(`expected a ConfigurationError from ${run}`)
}

/** Exactly one fault, which matches. */
export function assertFault(run: () => unknown, pattern: RegExp): void {
  const faults = faultsOf(run)
  assert.equal(faults.length, 1, faults.join('\n'))
  assert.match(faults[0] ?? '', pattern)
}
