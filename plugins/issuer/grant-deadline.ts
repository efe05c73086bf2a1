import { AsyncLocalStorage } from 'node:async_hooks'
import { arrivedDataRead } from '../../lib/event-loop.ts'

/** Enough to read a head and a body, with some margin. */
const maxReads = 5

/** Like `AbortSignal.timeout`, but first lets the process read data that has already arrived. */
export function deadlineSignal(timeoutMs: number): { signal: AbortSignal; clear(): void } {
  const deadline = new AbortController()
  let cleared = false
  const timer = setTimeout(async () => {
    for (let reads = 0; reads < maxReads && !cleared; reads++) await arrivedDataRead()
    deadline.abort(new DOMException('The issuer did not answer in time', 'TimeoutError'))
  }, timeoutMs).unref()
  return {
    signal: deadline.signal,
    clear() {
      cleared = true
      clearTimeout(timer)
    },
  }
}

const deadlines = new AsyncLocalStorage<AbortSignal>()

/**
 * Runs a grant with one deadline for all its requests. With DPoP it may take two, and both must fit into the time that
 * the renewal's lock is held.
 */
export async function withGrantDeadline<T>(timeoutMs: number, grant: () => Promise<T>): Promise<T> {
  const deadline = deadlineSignal(timeoutMs)
  try {
    return await deadlines.run(deadline.signal, grant)
  } finally {
    deadline.clear()
  }
}

/** Deadline of the grant under way. */
export function grantDeadline(): AbortSignal | null {
  return deadlines.getStore() ?? null
}
