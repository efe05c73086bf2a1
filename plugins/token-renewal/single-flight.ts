/** Runs one task per key at a time in this process: who asks while one runs gets the same promise. */
export interface SingleFlight<T> {
  run(key: string, task: () => Promise<T>): Promise<T>
  /** The one in flight, if any. */
  current(key: string): Promise<T> | undefined
  /** Resolves when none is in flight. */
  idle(): Promise<void>
}

export function createSingleFlight<T>(): SingleFlight<T> {
  const flights = new Map<string, Promise<T>>()

  return {
    run(key, task) {
      const flying = flights.get(key)
      if (flying) return flying
      const flight = task().finally(() => flights.delete(key))
      flights.set(key, flight)
      return flight
    },

    current: (key) => flights.get(key),

    async idle() {
      while (flights.size > 0) await Promise.allSettled(flights.values())
    },
  }
}
