import type { Clock } from '../../lib/clock.ts'

/** Metadata that are fetched on first use, retried until they are known, and refreshed regularly. */
export interface MetadataSource<T> {
  /**
   * The known value, or the result of one attempt that all concurrent callers share. Rejects with that attempt's error.
   * An outdated value is returned while it is refreshed in the background, and also if that fails.
   */
  get(): Promise<T>
  /** The last value fetched, if any. */
  known(): T | undefined
  /** Tries until the value is known or `signal` aborts: 1 s after a failure, doubling to 30 s. */
  keepTrying(signal: AbortSignal): Promise<void>
}

/** Refreshed after this, because an issuer's keys and endpoints may change. */
const maxAgeMs = 60 * 60_000
/** Time until the next attempt after a refresh has failed. */
const retryAgainMs = 60_000

export function createMetadataSource<T>(
  fetchMetadata: () => Promise<T>,
  clock: Clock,
  onFailure: (error: unknown, retryInMs: number) => void,
): MetadataSource<T> {
  let known: T | undefined
  let freshUntil = 0
  let attempt: Promise<T> | undefined

  async function get(): Promise<T> {
    if (known === undefined) return fetchOnce()
    if (clock.monotonic() >= freshUntil && !attempt) {
      fetchOnce().catch((error) => {
        freshUntil = clock.monotonic() + retryAgainMs
        onFailure(error, retryAgainMs)
      })
    }
    return known
  }

  function fetchOnce(): Promise<T> {
    attempt ??= fetchAndKeep().finally(() => {
      attempt = undefined
    })
    return attempt
  }

  async function fetchAndKeep(): Promise<T> {
    known = await fetchMetadata()
    freshUntil = clock.monotonic() + maxAgeMs
    return known
  }

  async function keepTrying(signal: AbortSignal): Promise<void> {
    for (let retryInMs = 1000; !signal.aborted; retryInMs = Math.min(2 * retryInMs, 30_000)) {
      try {
        await get()
        return
      } catch (error) {
        onFailure(error, retryInMs)
        await clock.sleep(retryInMs, signal)
      }
    }
  }

  return { get, known: () => known, keepTrying }
}
