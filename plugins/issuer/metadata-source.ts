import type { Clock } from '../../lib/clock.ts'

/** Something that is fetched when first needed, fetched again until it was got, and now and then once more. */
export interface MetadataSource<T> {
  /**
   * What was got, or one attempt shared by all who ask meanwhile. Throws what the attempt threw. What is old serves
   * while it is fetched again in the background, and goes on to serve when that fails.
   */
  get(): Promise<T>
  /** What was got so far. */
  known(): T | undefined
  /** Tries until it was got or `signal` aborts: 1 s after a failure, doubling to 30 s. */
  keepTrying(signal: AbortSignal): Promise<void>
}

/** Keys and endpoints of an issuer may change. */
const maxAgeMs = 60 * 60_000
/** How long what is old serves after it could not be fetched again. */
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
