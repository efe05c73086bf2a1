import type { Clock } from '../clock.ts'

/** Something that is fetched when first needed, and fetched again until it was got. */
export interface MetadataSource<T> {
  /** What was got, or one attempt shared by all who ask meanwhile. Throws what the attempt threw. */
  get(): Promise<T>
  /** What was got so far. */
  known(): T | undefined
  /** Tries until it was got or `signal` aborts: 1 s after a failure, doubling to 30 s. */
  keepTrying(signal: AbortSignal): Promise<void>
}

export function createMetadataSource<T>(
  fetchMetadata: () => Promise<T>,
  clock: Clock,
  onFailure: (error: unknown, retryInMs: number) => void,
): MetadataSource<T> {
  let known: T | undefined
  let attempt: Promise<T> | undefined

  async function get(): Promise<T> {
    if (known !== undefined) return known
    attempt ??= fetchMetadata().finally(() => {
      attempt = undefined
    })
    known = await attempt
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
