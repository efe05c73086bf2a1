import type { TraceExport } from './sdk.ts'
import { readTraceSettings } from './settings.ts'

export interface StartedTraces extends TraceExport {
  /** Call it once there is a logger: failed exports are then logged, at most once a minute. */
  logTo(log: Log): void
}

/** The part of a pino logger that is needed here. */
interface Log {
  warn(fields: object, message: string): void
}

const failureLoggedEveryMs = 60_000

/**
 * Exports traces if the environment names an exporter. Call it before the gateway is built.
 * @returns `traces` unset: there are none, and nothing of OpenTelemetry has been loaded
 */
export async function startTraces(
  env: Record<string, string | undefined>,
): Promise<{ traces?: StartedTraces; warnings: string[] }> {
  const { settings, warnings } = readTraceSettings(env)
  if (!settings) return { warnings }
  const { startTraceExport } = await import('./sdk.ts')
  let log: Log | undefined
  let loggedAt = Number.NEGATIVE_INFINITY
  let failures = 0
  const started = startTraceExport(settings, (err) => {
    failures++
    if (performance.now() - loggedAt < failureLoggedEveryMs) return
    loggedAt = performance.now()
    log?.warn({ event: 'traces.export.failed', failures, err }, 'Traces could not be exported')
  })
  return {
    warnings,
    traces: {
      ...started,
      logTo(given) {
        log = given
      },
    },
  }
}
