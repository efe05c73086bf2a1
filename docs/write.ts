import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import {
  frontendSchema,
  type Option,
  optionOf,
  options,
  optionsOf,
  optionsSchema,
  pluginSchema,
} from '../config/schema/index.ts'
import { facts, unwrap } from '../config/schema/option.ts'
import { upstreamSchema } from '../config/schema/upstream.ts'
import { traceVariables } from '../plugins/observability/tracing/settings.ts'

/**
 * Everything generated from the schema: `npm run docs` writes it, a test compares.
 *
 * @param read returns a file of the repository
 * @returns contents by path
 */
export function documents(read: (path: string) => string): Map<string, string> {
  const variables = options.map((option) => ({ ...option, name: option.env }))
  const keys = optionsOf(upstreamSchema).map((option) => ({ ...option, name: option.key }))
  const variableTable = inWords(
    `${table('Variable', variables)}\n${secretFilesRow()}\n${tracesRow}`,
    (key) => optionOf.get(key)?.env,
  )
  return new Map([
    ['README.md', between('configuration table', read('README.md'), variableTable)],
    ['docs/upstreams.md', between('upstream table', read('docs/upstreams.md'), table('Key', keys))],
    ['compose.yaml', composeVariables(read('compose.yaml'))],
    ['fastify-bff.schema.json', `${JSON.stringify(jsonSchema(), null, 2)}\n`],
    ['config/bff-configuration.ts', pluginTypes()],
  ])
}

/** Between `<!-- name -->` and `<!-- /name -->`. */
function between(name: string, text: string, content: string): string {
  const pattern = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*(\n<!-- /${name} -->)`)
  return text.replace(pattern, (_, before, after) => before + content + after)
}

/** Lists the variables that compose.yaml does not set itself. Without a value, Compose passes a variable on if it is set. */
function composeVariables(text: string): string {
  // TLS ends at the load balancer, which connects to the default port.
  const fixed = ['HOST', 'PORT', 'TLS_CERT_FILE', 'TLS_KEY_FILE']
  const isSet = (name: string) => new RegExp(`^ {6}${name}: .`, 'm').test(text)
  const names = options.map(({ env }) => env).filter((name) => !fixed.includes(name) && !isSet(name))
  const lines = [...names, ...traceVariables].sort().map((name) => `      ${name}:\n`)
  return text.replace(
    /( {6}# <variables>\n)[\s\S]*( {6}# <\/variables>)/,
    (_, before, after) => before + lines.join('') + after,
  )
}

function table(heading: string, rows: (Option & { name: string })[]): string {
  const lines = rows.map((row) => `| \`${row.name}\` | ${defaultOf(row)} | ${row.meaning} |`)
  return [`| ${heading} | Default | Meaning |`, '|---|---|---|', ...lines].join('\n')
}

const tracesRow =
  '| `OTEL_EXPORTER_OTLP_ENDPOINT` and the other `OTEL_*` | – | [Traces by OpenTelemetry](docs/production.md#traces). Unset: none |'

function secretFilesRow(): string {
  const names = options.filter(({ secret }) => secret).map(({ env }) => `\`${env}_FILE\``)
  return `| ${names.join(', ')} | – | Path of a file that holds the value, instead of the variable without \`_FILE\`: for secrets that Kubernetes or Docker mount. A line break at its end doesn't count |`
}

function defaultOf({ schema, isRequired, defaultText }: Option): string {
  if (defaultText) return defaultText
  if (isRequired) return 'required'
  const value = schema instanceof z.ZodPrefault ? schema._zod.def.defaultValue : ''
  const text = Array.isArray(value) ? JSON.stringify(value) : String(value)
  return text === '' ? '–' : `\`${text}\``
}

/** With the reader's names of other options. */
function inWords(meaning: string, nameOf: (key: string) => string | undefined): string {
  return meaning.replaceAll(/\{([\w.]+)\}/g, (all, key) => nameOf(key) ?? all)
}

/** JSON Schema of the configuration file, for editors. It has only the usual of several accepted forms of an option. */
function jsonSchema(): z.core.JSONSchema.BaseSchema {
  const file = z.strictObject({
    $schema: z.string().optional(),
    ...optionsSchema.omit({ configFile: true }).shape,
    frontends: z.array(frontendSchema).optional(),
  })
  return z.toJSONSchema(file, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const meaning = facts.get(zodSchema)?.meaning
      if (meaning) jsonSchema.description = plain(meaning)
      // What is not JSON, such as a Buffer, has become {}.
      const kinds = jsonSchema.anyOf?.filter((kind) => Object.keys(kind).length > 0)
      if (kinds?.length === 1) Object.assign(jsonSchema, kinds[0], { anyOf: undefined })
      else if (kinds) jsonSchema.anyOf = kinds
      if (!(zodSchema instanceof z.ZodObject) || zodSchema === upstreamSchema) return
      // It may be in the environment.
      delete jsonSchema.required
      for (const [name, member] of Object.entries(zodSchema.shape)) {
        const { secret, env } = facts.get(member) ?? {}
        if (secret && env && jsonSchema.properties)
          jsonSchema.properties[`${name}File`] = { type: 'string', description: `File that holds ${name}` }
      }
    },
  })
}

/** Without links, which only work in Markdown documents. */
function plain(meaning: string): string {
  return inWords(meaning, (key) => key).replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1')
}

/** The types of the plugin's options, with the schema's meanings as comments. */
function pluginTypes(): string {
  return `// Written by \`npm run docs\` from the schema.
import type { z } from 'zod'
import type { pluginSchema } from './schema/index.ts'
import type { upstreamSchema } from './schema/upstream.ts'

type Input = z.input<typeof pluginSchema>
type UpstreamInput = z.input<typeof upstreamSchema>

/**
 * Options of the plugin: the same as in a configuration file, with the same checks and the same defaults,
 * except those of the server, which belongs to the application.
 */
export interface BffConfiguration {
${members(pluginSchema, 'Input')}
}

export interface BffUpstreamConfiguration {
${members(upstreamSchema, 'UpstreamInput')}
}
`
}

function members(schema: z.ZodObject, type: string, indent = '  '): string {
  const known = new Map(optionsOf(schema).map((option) => [option.key, option]))
  const lines = Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, member]) => {
    const inner = unwrap(member)
    const mark = inner === member ? '' : '?'
    const ofMember = `${type}['${name}']`
    if (inner instanceof z.ZodObject) {
      const group = members(inner, mark ? `NonNullable<${ofMember}>` : ofMember, `${indent}  `)
      return `${indent}${name}${mark}: {\n${group}\n${indent}}${mark && ' | undefined'}`
    }
    const written = name === 'upstreams' ? 'BffUpstreamConfiguration[] | undefined' : ofMember
    return `${docstring(known.get(name), indent)}${indent}${name}${mark}: ${written}`
  })
  return lines.join('\n')
}

function docstring(option: Option | undefined, indent: string): string {
  if (!option) return ''
  const standard = option.isRequired || option.missing ? '–' : inWords(defaultOf(option), (key) => key)
  const text = `${plain(option.meaning)}.${standard === '–' ? '' : ` Default ${standard}.`}`
  if (text.length + indent.length <= 103) return `${indent}/** ${text} */\n`
  const lines = text.replaceAll(/(.{1,100})(?: |$)/g, `${indent} * $1\n`)
  return `${indent}/**\n${lines}${indent} */\n`
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '..')
  for (const [path, text] of documents((name) => readFileSync(resolve(root, name), 'utf8')))
    writeFileSync(resolve(root, path), text)
}
