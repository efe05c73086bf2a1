import { dirname } from 'node:path'
import type { z } from 'zod'
import { tokenParameters } from '../oidc-session/token-target.ts'
import { formatDuration } from './duration.ts'
import type { Files } from './files.ts'
import { mask } from './mask.ts'
import { nearest } from './nearest.ts'
import type { UpstreamOptions } from './options.ts'
import { upstreamDefaults, upstreamKeys, upstreamSchema } from './upstream-schema.ts'
import { certificates } from './upstream-tls.ts'
import { formatUrl, isPlainHttp } from './urls.ts'

export interface ParsedUpstreams {
  upstreams: UpstreamOptions[]
  faults: string[]
}

/** Checks the `upstreams` of the configuration file at `path`. */
export function parseUpstreams(input: unknown, path: string, files: Files): ParsedUpstreams {
  if (input === undefined) return { upstreams: [], faults: [] }
  if (!Array.isArray(input)) {
    return {
      upstreams: [],
      faults: [`upstreams in ${path} must be a list: [{ "prefix": "/api", "target": "https://…" }]`],
    }
  }
  const upstreams: UpstreamOptions[] = []
  const faults: string[] = []
  for (const [index, entry] of input.entries()) {
    const result = upstreamSchema(entry?.insecure === true, dirname(path), files).safeParse(entry)
    if (result.success) upstreams.push(result.data)
    else faults.push(...result.error.issues.flatMap((issue) => faultsOf(issue, `upstreams[${index}]`, path)))
  }
  return { upstreams, faults: [...faults, ...repeatedPrefixes(input, path)] }
}

/** `API_URL` stands for an upstream at `/api`. In the environment it wins over one of the file; in the file it doubles it. */
export function mergeUpstreams(
  upstreams: UpstreamOptions[],
  apiUrl: URL | undefined,
  label: string,
): ParsedUpstreams {
  if (!apiUrl) return { upstreams, faults: [] }
  const others = upstreams.filter(({ prefix }) => prefix !== '/api')
  const faults =
    label !== 'API_URL' && others.length < upstreams.length
      ? [`${label} and an entry of upstreams both say where /api leads: keep one of the two`]
      : []
  return { upstreams: [{ prefix: '/api', target: apiUrl, ...upstreamDefaults() }, ...others], faults }
}

/** In the notation of the configuration file, without what is secret. */
export function formatUpstream({ target, ca, clientCert, clientKey, ...rest }: UpstreamOptions): string {
  const { prefix, token, exchange, connectTimeoutMs, timeoutMs, keepAliveTimeoutMs, ...others } = rest
  return JSON.stringify({
    prefix,
    target: formatUrl(target),
    token,
    ...tokenParameters(rest),
    ...(exchange && { exchange }),
    ...(isPlainHttp(target) && { insecure: true }),
    ...(ca && { ca: count(ca) }),
    ...(clientCert && { clientCert: count(clientCert) }),
    ...(clientKey && { clientKey: mask }),
    connectTimeout: formatDuration(connectTimeoutMs),
    timeout: formatDuration(timeoutMs),
    ...(keepAliveTimeoutMs && { keepAliveTimeout: formatDuration(keepAliveTimeoutMs) }),
    ...others,
  })
}

function count(pem: string): string {
  return `${certificates(pem).length} certificate(s)`
}

function repeatedPrefixes(entries: { prefix?: unknown }[], file: string): string[] {
  const prefixes = entries.map((entry) =>
    typeof entry?.prefix === 'string' ? entry.prefix.trim() : undefined,
  )
  return prefixes.flatMap((prefix, index) => {
    const first = prefixes.indexOf(prefix)
    return prefix === undefined || first === index
      ? []
      : [
          `upstreams[${index}].prefix in ${file} is taken by upstreams[${first}]: give each a prefix of its own`,
        ]
  })
}

function faultsOf(issue: z.core.$ZodIssue, entry: string, file: string): string[] {
  const path =
    entry + issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  if (issue.code !== 'unrecognized_keys') return [`${path} in ${file} ${issue.message}`]
  return issue.keys.map((key) => {
    const guess = nearest(key, upstreamKeys)
    return `${path}.${key} in ${file} is no option: ${guess ? `did you mean ${guess}?` : `known are ${upstreamKeys.join(', ')}`}`
  })
}
