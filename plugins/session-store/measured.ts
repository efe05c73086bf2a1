import type { Tracing } from '../../lib/tracing.ts'
import { type StoreOutcome, storeOperations } from '../observability/metrics.ts'
import { type SessionStore, StoreUnavailableError } from './store.ts'

const operations = storeOperations satisfies readonly (keyof SessionStore)[]

/** Wraps a store to report the duration and outcome of each operation. */
export function measured(
  store: SessionStore,
  report: (operation: string, outcome: StoreOutcome, durationMs: number) => void,
): SessionStore {
  return around(store, async (operation, run) => {
    const startedAt = performance.now()
    let outcome: StoreOutcome = 'ok'
    try {
      return await run()
    } catch (error) {
      outcome = error instanceof StoreUnavailableError ? 'unavailable' : 'error'
      throw error
    } finally {
      report(operation, outcome, performance.now() - startedAt)
    }
  })
}

/**
 * Wraps a store to trace each operation.
 * @param system the database's name in OpenTelemetry's semantic conventions; undefined for the process's own memory
 */
export function traced(store: SessionStore, tracing: Tracing, system: 'redis' | undefined): SessionStore {
  return around(store, (operation, run) => {
    const attributes = { 'db.system.name': system, 'db.operation.name': operation }
    return system
      ? tracing.clientSpan(`store.${operation}`, attributes, run)
      : tracing.span(`store.${operation}`, attributes, run)
  })
}

type Around = (operation: (typeof operations)[number], run: () => Promise<unknown>) => Promise<unknown>

function around(store: SessionStore, act: Around): SessionStore {
  const result: SessionStore = { ...store }
  for (const operation of operations) {
    const run = store[operation] as (...args: unknown[]) => Promise<unknown>
    Object.assign(result, { [operation]: (...args: unknown[]) => act(operation, () => run(...args)) })
  }
  return result
}
