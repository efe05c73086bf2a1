import { z } from 'zod'
import { frontendShape } from './frontend.ts'
import { oidc } from './oidc.ts'
import { type Facts, facts, isDuration, type Milliseconds, parsed, unwrap } from './option.ts'
import { adminToken, host, path } from './parsers.ts'
import { listenShape, port, processShape } from './server.ts'
import { sessionShape } from './session.ts'
import { upstreamSchema } from './upstream.ts'
import { baseUrl, url } from './urls.ts'

/**
 * Every option of a gateway, at its place in the configuration file and the plugin's options. Everything about an
 * option is in its entry: parsing, messages, documents, the JSON Schema and the types derive from it.
 */
export const optionsSchema = z.strictObject({
  publicUrl: url(baseUrl('https://app.example.com')).register(facts, {
    env: 'PUBLIC_URL',
    missing: 'set it to the URL at which browsers reach the gateway, such as https://app.example.com',
    defaultText: '`http://localhost:PORT` outside production, required in production',
    meaning:
      'Origin (and optional base path) at which browsers reach the gateway; redirect URIs derive from it, never from request headers. Plain http on loopback hosts only. Production is `NODE_ENV=production`',
  }),
  ...listenShape,
  oidc,
  ...sessionShape,
  apiUrl: url(baseUrl('https://api.example.com')).optional().register(facts, {
    env: 'API_URL',
    meaning:
      "Shorthand for one upstream: `/api/*` → `{apiUrl}/*` with the user's token. Plain http on loopback hosts only",
  }),
  configFile: parsed(path).optional().register(facts, {
    env: 'CONFIG_FILE',
    meaning:
      'JSON file with the same options as a tree, and `upstreams: [{ prefix, target, token, … }]`; the environment wins over it',
  }),
  upstreams: z
    .array(upstreamSchema, 'must be a list: [{ "prefix": "/api", "target": "https://…" }]')
    .prefault([])
    .register(facts, { meaning: 'Remote APIs, each at a prefix of its own' }),
  ...frontendShape,
  metricsPort: port
    .optional()
    .register(facts, { env: 'METRICS_PORT', meaning: 'Port of `/metrics`; unset: none' }),
  metricsHost: parsed(host).prefault('0.0.0.0').register(facts, {
    env: 'METRICS_HOST',
    defaultText: '`{host}`',
    meaning: 'Address on which `/metrics` listens',
  }),
  adminPort: port.optional().register(facts, {
    env: 'ADMIN_PORT',
    meaning: "Port of the [administrator's API](docs/administration.md), with `{adminToken}`; unset: none",
  }),
  adminHost: parsed(host).prefault('127.0.0.1').register(facts, {
    env: 'ADMIN_HOST',
    meaning: "Address on which the administrator's API listens",
  }),
  adminToken: parsed(adminToken).optional().register(facts, {
    env: 'ADMIN_TOKEN',
    secret: true,
    meaning: "Bearer token for the administrator's API, at least 32 random characters",
  }),
  ...processShape,
})

type Mask<Shape> = { readonly [Key in keyof Shape]: true }

/** Options of the process that owns the server. */
const serverMembers = Object.fromEntries(
  ['configFile', ...Object.keys(listenShape), ...Object.keys(processShape)].map((key) => [key, true]),
) as Mask<typeof listenShape & typeof processShape & { configFile: unknown }>

/** Options that all frontends of a process share. */
const sharedMembers = {
  ...serverMembers,
  redisUrl: true,
  redis: true,
  storeTimeout: true,
  metricsPort: true,
  metricsHost: true,
  adminPort: true,
  adminHost: true,
  adminToken: true,
} as const

/** @param key such as `shutdown.delay` */
export function isServers(key: string): boolean {
  return (key.split('.')[0] ?? '') in serverMembers
}

export function isShared(key: string): boolean {
  return (key.split('.')[0] ?? '') in sharedMembers
}

/** Options of the plugin. */
export const pluginSchema = optionsSchema.omit(serverMembers)

/** One entry of `frontends`. */
export const frontendSchema = optionsSchema.omit(sharedMembers)

/** An option with its facts. */
export interface Option extends Facts {
  /** Its place, such as `oidc.clientId`. */
  key: string
  schema: z.ZodType
  /** It is required: it has no default, and its group can't be left out. */
  isRequired: boolean
  /** The place of its parsed value: `oidc.timeoutMs` for a duration. */
  output: string[]
}

/** All options except those of upstreams, in the order of the documents. */
export const options: readonly (Option & { env: string })[] = optionsOf(optionsSchema).filter(
  (option): option is Option & { env: string } => option.env !== undefined,
)

export const optionOf: ReadonlyMap<string, Option> = new Map(options.map((option) => [option.key, option]))

export function optionsOf(schema: z.ZodObject, path: string[] = [], canBeLeftOut = false): Option[] {
  return Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([name, member]) => {
    const inner = unwrap(member)
    const isOptional = canBeLeftOut || inner !== member
    if (inner instanceof z.ZodObject) return optionsOf(inner, [...path, name], isOptional)
    const known = facts.get(member)
    const key = [...path, name].join('.')
    if (!known) throw new TypeError(`The schema has no facts about ${key}`)
    const output = [...path, isDuration(inner) ? `${name}Ms` : name]
    return [{ ...known, key, schema: member, isRequired: !isOptional, output }]
  })
}

/** Whether a file may give it as an array. */
export function acceptsArray(schema: z.ZodType): boolean {
  const inner = unwrap(schema)
  const written = inner instanceof z.ZodCodec ? inner.in : undefined
  return written instanceof z.ZodUnion && written.options.some((option) => option instanceof z.ZodArray)
}

type Leaf = string | number | boolean | URL | URLSearchParams | Uint8Array

/** The schema's output, without undefined members; names of durations end in `Ms`. */
type Settled<T> = {
  [Name in keyof T as NonNullable<T[Name]> extends Milliseconds ? `${Name & string}Ms` : Name]: SettledValue<
    Exclude<T[Name], undefined>
  >
}

type SettledValue<V> = V extends Milliseconds
  ? number
  : V extends Leaf
    ? V
    : V extends readonly (infer Entry)[]
      ? [Entry] extends [Leaf]
        ? V
        : Settled<Entry>[]
      : Settled<V>

/** `session.lifetime`, or `upstreams` for all of these. */
export type OptionKey = KeyOf<z.output<typeof optionsSchema>>

type KeyOf<T> = {
  [Name in keyof T & string]: NonNullable<T[Name]> extends Leaf | readonly unknown[]
    ? Name
    : `${Name}.${KeyOf<NonNullable<T[Name]>>}`
}[keyof T & string]

/** All options of the gateway, after validation. Durations are milliseconds. */
export type GatewayOptions = Settled<z.output<typeof optionsSchema>> & {
  /** Whether `/bff/diagnostics` exists: outside production. */
  diagnostics: boolean
  /** Names that other frontends of this process have for their session cookies. */
  cookie: { others?: string[] }
}

export type TlsOptions = NonNullable<GatewayOptions['tls']>
export type UpstreamOptions = Settled<z.output<typeof upstreamSchema>>

/** The schema's output with the final names. */
export function settled<S extends z.ZodObject>(schema: S, values: z.output<S>): Settled<z.output<S>> {
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    given.map(([name, value]) => settledMember(name, schema.shape[name], value)),
  ) as Settled<z.output<S>>
}

function settledMember(name: string, member: z.ZodType, value: unknown): [name: string, value: unknown] {
  const inner = unwrap(member)
  if (inner instanceof z.ZodObject) return [name, settled(inner, value as z.output<typeof inner>)]
  if (inner instanceof z.ZodArray && inner.element instanceof z.ZodObject) {
    const { element } = inner
    return [name, (value as object[]).map((entry) => settled(element, entry as z.output<typeof element>))]
  }
  return [isDuration(inner) ? `${name}Ms` : name, value]
}

/** The defaults of an upstream. */
export function upstreamDefaults(): Omit<UpstreamOptions, 'prefix' | 'target'> {
  const least = upstreamSchema.parse({ prefix: '/api', target: 'https://api.example.com' })
  const { prefix, target, ...defaults } = settled(upstreamSchema, least)
  return defaults
}
