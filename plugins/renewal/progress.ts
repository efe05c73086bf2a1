import type { Clock } from '../../lib/clock.ts'

/** Measures how much of a renewal's time is spent waiting for the store, for the wait limit of its requests. */
export interface Progress {
  /** Runs a store operation and counts its time. All other time counts as the issuer's. */
  atStore<T>(operation: () => Promise<T>): Promise<T>
  /** From now on also counts the store time of `other`. */
  follow(other: Progress): void
  /** Total store time so far, in milliseconds. */
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
