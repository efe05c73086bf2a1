import type { Clock } from '../../lib/clock.ts'

/** Where a renewal under way stands, so that a request that waits for it knows how long the store has kept it. */
export interface Progress {
  /** Runs an operation of the store. All other time is the issuer's. */
  atStore<T>(operation: () => Promise<T>): Promise<T>
  /** From now on, what `other` waits for keeps this one waiting. */
  follow(other: Progress): void
  /** For how long it has waited for the store so far, in milliseconds. */
  storeMs(): number
}

export function createProgress(clock: Pick<Clock, 'monotonic'>): Progress {
  let spentMs = 0
  let atStoreSince: number | undefined
  let followed: { progress: Progress; fromMs: number } | undefined

  return {
    async atStore(operation) {
      const startedAt = clock.monotonic()
      atStoreSince = startedAt
      try {
        return await operation()
      } finally {
        spentMs += clock.monotonic() - startedAt
        atStoreSince = undefined
      }
    },

    follow(other) {
      spentMs += sinceFollowed()
      followed = { progress: other, fromMs: other.storeMs() }
    },

    storeMs() {
      const underWayMs = atStoreSince === undefined ? 0 : clock.monotonic() - atStoreSince
      return spentMs + underWayMs + sinceFollowed()
    },
  }

  function sinceFollowed(): number {
    return followed ? followed.progress.storeMs() - followed.fromMs : 0
  }
}

export function atStore<T>(progress: Progress, operation: () => Promise<T>): Promise<T> {
  return progress.atStore(operation)
}
