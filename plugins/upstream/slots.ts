/** So many at a time; others wait in line. */
export interface Slots {
  /**
   * Resolves when it is one's turn, with what gives the slot to the next.
   * @throws the signal's reason, once it aborts
   */
  take(signal: AbortSignal): Promise<() => void>
}

export function createSlots(count: number): Slots {
  const waiting = new Set<() => void>()
  let free = count

  function give(): void {
    const [next] = waiting
    if (next) next()
    else free++
  }

  return {
    async take(signal) {
      signal.throwIfAborted()
      if (free > 0) free--
      else await turn(waiting, signal)
      let isHeld = true
      return () => {
        if (isHeld) give()
        isHeld = false
      }
    },
  }
}

function turn(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
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
