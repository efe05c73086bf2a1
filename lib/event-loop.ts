import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Resolves when data that had already arrived in open sockets has been read. Node runs timers before it reads from
 * sockets, so when the process was stalled, a deadline can pass while the answer is already there: two turns of the
 * event loop later it has been read.
 */
export async function arrivedDataRead(): Promise<void> {
  await nextTurn()
  await nextTurn()
}
