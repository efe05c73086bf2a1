import type { GatewayOptions } from './options.ts'
import { type Environment, settingNames, settingOf } from './settings.ts'
import { formatUpstream } from './upstreams.ts'

/**
 * The configuration in effect as lines `NAME=value`, in the order of the documents, then the upstreams. Secrets
 * are masked; what is unset has nothing behind the equals sign.
 *
 * @param environment where the options came from: only it knows `CONFIG_FILE`
 */
export function describeConfig(options: GatewayOptions, environment: Environment = {}): string {
  const lines = settingNames.map((name) => `${name}=${settingOf(name).show(options, environment) ?? ''}`)
  const upstreams = options.upstreams.map(
    (upstream, index) => `upstreams[${index}]=${formatUpstream(upstream)}`,
  )
  return [...lines, ...upstreams].join('\n')
}
