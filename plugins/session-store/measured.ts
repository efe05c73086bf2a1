import type { StoreOutcome } from '../observability/metrics.ts'
import { type SessionStore, StoreUnavailableError } from './store.ts'

/** The measured operations. Not `changed`, which waits indefinitely, and `listAll`, which takes as long as its caller. */
const operations = [
  'create',
  'put',
  'read',
  'replace',
  'touch',
  'destroy',
  'destroyBy',
  'endReason',
  'trim',
  'list',
  'updateProfile',
  'lock',
  'addMarker',
  'markerTtlMs',
  'ping',
] as const satisfies (keyof SessionStore)[]

/** Wraps a store to report the duration and outcome of each operation. */
export function measured(
  store: SessionStore,
  report: (operation: string, outcome: StoreOutcome, durationMs: number) => void,
): SessionStore {
  const result: SessionStore = { ...store }
  for (const operation of operations) Object.assign(result, { [operation]: timed(operation) })
  return result

  function timed(operation: (typeof operations)[number]) {
    const run = store[operation] as (...args: unknown[]) => Promise<unknown>
    return async (...args: unknown[]) => {
      const startedAt = performance.now()
      let outcome: StoreOutcome = 'ok'
      try {
        return await run(...args)
      } catch (error) {
        outcome = error instanceof StoreUnavailableError ? 'unavailable' : 'error'
        throw error
      } finally {
        report(operation, outcome, performance.now() - startedAt)
      }
    }
  }
}
