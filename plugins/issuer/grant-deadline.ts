import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextEventLoopTurn } from 'node:timers/promises'

/** Turns of the event loop: enough to read a head and a body, with some margin. */
const turnsToRead = 10

/** Like `AbortSignal.timeout`, but first lets the process read data that has already arrived. */
export function deadlineSignal(timeoutMs: number): { signal: AbortSignal; clear(): void } {
  const deadline = new AbortController()
  let cleared = false
  const timer = setTimeout(async () => {
    // After a stall Node runs timers before it reads a response that is already in the socket.
    for (let turns = 0; turns < turnsToRead && !cleared; turns++) await nextEventLoopTurn()
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
