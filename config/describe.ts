import { z } from 'zod'
import { type GatewayOptions, type Option, options, optionsOf, type UpstreamOptions } from './schema/index.ts'
import { mask } from './schema/mask.ts'
import { upstreamSchema } from './schema/upstream.ts'

/**
 * The configuration in effect as lines `NAME=value`, in the order of the documents, then the upstreams as the file
 * would list them. Secrets are masked; an unset option has an empty value.
 */
export function describeConfig(given: GatewayOptions): string {
  const lines = options.map((option) => `${option.env}=${shown(option, given) ?? ''}`)
  const upstreams = given.upstreams.map(
    (upstream, index) => `upstreams[${index}]=${describeUpstream(upstream)}`,
  )
  return [...lines, ...upstreams].join('\n')
}

const upstreamOptions = optionsOf(upstreamSchema)

function describeUpstream(upstream: UpstreamOptions): string {
  return JSON.stringify(
    Object.fromEntries(upstreamOptions.map((option) => [option.key, shown(option, upstream)])),
  )
}

/** The value in the form in which it is configured. */
function shown({ schema, output, secret }: Option, given: object): unknown {
  const value = output.reduce<unknown>(
    (group, name) => (group as Record<string, unknown> | undefined)?.[name],
    given,
  )
  if (value === undefined) return undefined
  // `schema` is the union of all options' schemas, of which `encode` would want the intersection of values.
  const written = z.encode(schema, value as never)
  if (!secret) return written
  return secret === true ? mask : secret(String(written))
}
