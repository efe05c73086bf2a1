import { createRequire } from 'node:module'
import type { Dispatcher } from 'undici'

/** Takes a request that waits for a connection out of undici's queue, and reports the reason to its handler. */
export type Cancel = (reason: Error) => void

// Internal to undici, whose version is pinned. Without it a request whose browser has left would keep its place in the
// queue, get a connection and close it.
const { kQueuedAbort } = createRequire(import.meta.url)('undici/lib/core/symbols.js') as {
  kQueuedAbort: symbol
}

/** @param onQueued called with the function that cancels the request, if it has to wait */
export function withQueuedAbort(
  options: Dispatcher.DispatchOptions,
  onQueued: (cancel: Cancel) => void,
): Dispatcher.DispatchOptions {
  return { ...options, [kQueuedAbort]: onQueued }
}
