/** Wakes callers that wait for a session to change. */
export interface ChangeNotifier {
  /** Resolves at the next notification about `id`, or when `signal` aborts. */
  wait(id: string, signal: AbortSignal): Promise<void>
  notify(id: string): void
  /** Wakes all waiters, after notifications may have been missed. */
  notifyAll(): void
  /** Number of waiters. */
  readonly waiting: number
}

export function createChangeNotifier(): ChangeNotifier {
  const waiters = new Map<string, Set<() => void>>()

  return {
    wait: (id, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve()

        const wake = () => {
          signal.removeEventListener('abort', wake)
          remove(waiters, id, wake)
          resolve()
        }
        signal.addEventListener('abort', wake)
        add(waiters, id, wake)
      }),

    notify,

    notifyAll() {
      for (const id of [...waiters.keys()]) notify(id)
    },

    get waiting() {
      return [...waiters.values()].reduce((sum, set) => sum + set.size, 0)
    },
  }

  function notify(id: string): void {
    for (const wake of [...(waiters.get(id) ?? [])]) wake()
  }
}

function add<V>(sets: Map<string, Set<V>>, key: string, value: V): void {
  const set = sets.get(key)
  if (set) set.add(value)
  else sets.set(key, new Set([value]))
}

function remove<V>(sets: Map<string, Set<V>>, key: string, value: V): void {
  const set = sets.get(key)
  set?.delete(value)
  if (set?.size === 0) sets.delete(key)
}
