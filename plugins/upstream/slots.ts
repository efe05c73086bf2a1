/** A semaphore: a limited number of holders at a time; others wait in order of arrival. */
export interface Slots {
  /**
   * Waits for a free slot. Resolves with the function that releases it.
   * @throws the signal's reason when it aborts
   */
  acquire(signal: AbortSignal): Promise<() => void>
  /** The same without waiting; undefined if no slot is free. */
  acquireNow(): (() => void) | undefined
}

export function createSlots(count: number): Slots {
  const waiting = new Set<() => void>()
  let free = count

  function release(): void {
    const [next] = waiting
    if (next) next()
    else free++
  }

  function held(): () => void {
    let isHeld = true
    return () => {
      if (isHeld) release()
      isHeld = false
    }
  }

  function acquireNow(): (() => void) | undefined {
    // A slot is passed on to the next waiter directly, so a free one means that nothing waits.
    if (free === 0) return undefined
    free--
    return held()
  }

  return {
    async acquire(signal) {
      signal.throwIfAborted()
      const now = acquireNow()
      if (now) return now
      await nextFree(waiting, signal)
      return held()
    },

    acquireNow,
  }
}

function nextFree(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const leave = () => {
    waiting.delete(proceed)
    signal.removeEventListener('abort', giveUp)
  }
  const proceed = () => {
    leave()
    resolve()
  }
  const giveUp = () => {
    leave()
    reject(signal.reason)
  }
  waiting.add(proceed)
  signal.addEventListener('abort', giveUp)
  return promise
}
