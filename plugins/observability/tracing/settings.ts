/** How traces are exported. */
export interface TraceSettings {
  sampler: SamplerName
  /** For the samplers by ratio: from 0 to 1. */
  ratio: number
  /** Limits of the queue of spans. Unset: the SDK's. */
  scheduledDelayMillis?: number
  exportTimeoutMillis?: number
  maxQueueSize?: number
  maxExportBatchSize?: number
}

export type SamplerName = (typeof samplers)[number]

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

const queueLimits = {
  OTEL_BSP_SCHEDULE_DELAY: 'scheduledDelayMillis',
  OTEL_BSP_EXPORT_TIMEOUT: 'exportTimeoutMillis',
  OTEL_BSP_MAX_QUEUE_SIZE: 'maxQueueSize',
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 'maxExportBatchSize',
} as const

/** Variables that have an effect here, for documents and compose.yaml. Some are read by the SDK only. */
export const traceVariables: readonly string[] = [
  'OTEL_BSP_EXPORT_TIMEOUT',
  'OTEL_BSP_MAX_EXPORT_BATCH_SIZE',
  'OTEL_BSP_MAX_QUEUE_SIZE',
  'OTEL_BSP_SCHEDULE_DELAY',
  'OTEL_EXPORTER_OTLP_CERTIFICATE',
  'OTEL_EXPORTER_OTLP_COMPRESSION',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_EXPORTER_OTLP_PROTOCOL',
  'OTEL_EXPORTER_OTLP_TIMEOUT',
  'OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE',
  'OTEL_EXPORTER_OTLP_TRACES_COMPRESSION',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
  'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL',
  'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT',
  'OTEL_RESOURCE_ATTRIBUTES',
  'OTEL_SDK_DISABLED',
  'OTEL_SERVICE_NAME',
  'OTEL_TRACES_EXPORTER',
  'OTEL_TRACES_SAMPLER',
  'OTEL_TRACES_SAMPLER_ARG',
]

type Environment = Record<string, string | undefined>

/**
 * Whether the environment names an exporter of traces. The exporter and the resource read their variables themselves.
 *
 * A value that can't be used is no reason not to start: in many clusters an operator sets these variables for all
 * containers. As OpenTelemetry demands, it is a warning.
 *
 * @returns `settings` unset: no traces. One sentence for each value that is ignored
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function readTraceSettings(env: Environment): { settings?: TraceSettings; warnings: string[] } {
  const read = (name: string) => env[name]?.trim() || undefined
  const warnings: string[] = []
  const off = (warning?: string) => ({ warnings: warning === undefined ? [] : [warning] })

  if (read('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return off()
  const endpointName = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].find(read)
  const exporter = read('OTEL_TRACES_EXPORTER') ?? (endpointName === undefined ? 'none' : 'otlp')
  if (exporter === 'none') return off()
  if (exporter !== 'otlp') return off(`No traces: OTEL_TRACES_EXPORTER must be otlp or none, not ${exporter}`)
  const endpoint = endpointName && URL.parse(read(endpointName) ?? '')
  if (endpointName && !(endpoint && /^https?:$/.test(endpoint.protocol)))
    return off(`No traces: ${endpointName} must be an http or https URL`)
  const protocolName = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'].find(read)
  if (protocolName && read(protocolName) !== 'http/protobuf')
    return off(`No traces: ${protocolName} must be http/protobuf, which collectors take on port 4318`)

  const settings: TraceSettings = { sampler: 'parentbased_always_on', ratio: 1 }
  const sampler = samplers.find((name) => name === read('OTEL_TRACES_SAMPLER'))
  if (sampler) settings.sampler = sampler
  else if (read('OTEL_TRACES_SAMPLER'))
    warnings.push(`OTEL_TRACES_SAMPLER is ignored: it must be one of ${samplers.join(', ')}`)
  const ratio = read('OTEL_TRACES_SAMPLER_ARG')
  if (ratio !== undefined && settings.sampler.endsWith('traceidratio')) {
    if (Number(ratio) >= 0 && Number(ratio) <= 1) settings.ratio = Number(ratio)
    else warnings.push('OTEL_TRACES_SAMPLER_ARG is ignored: it must be a number from 0 to 1')
  }
  for (const [name, member] of Object.entries(queueLimits)) {
    const value = read(name)
    if (value === undefined) continue
    if (/^[1-9]\d{0,8}$/.test(value)) settings[member] = Number(value)
    else warnings.push(`${name} is ignored: it must be a whole number above 0`)
  }
  return { settings, warnings }
}
