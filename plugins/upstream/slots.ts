/** A semaphore: a limited number of holders at a time; others wait in order of arrival. */
export interface Slots {
  /**
   * Waits for a free slot. Resolves with the function that releases it.
   * @throws the signal's reason when it aborts
   */
  acquire(signal: AbortSignal): Promise<() => void>
}

export function createSlots(count: number): Slots {
  const waiting = new Set<() => void>()
  let free = count

  function release(): void {
    const [next] = waiting
    if (next) next()
    else free++
  }

  return {
    async acquire(signal) {
      signal.throwIfAborted()
      if (free > 0) free--
      else await nextFree(waiting, signal)
      let isHeld = true
      return () => {
        if (isHeld) release()
        isHeld = false
      }
    },
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
