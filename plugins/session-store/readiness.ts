import type { Clock } from '../clock.ts'
import type { SessionStore } from './store.ts'

/** How long a readiness probe waits for the store. */
const patienceMs = 1_000

/**
 * Whether the store can be read and written now. All who ask at once share one try.
 * @param onChange is told when that has changed, with what is wrong
 */
export function createReadiness(
  store: Pick<SessionStore, 'ping'>,
  clock: Clock,
  onChange: (error?: unknown) => void,
): () => Promise<boolean> {
  let wasReady = true
  let asked: Promise<boolean> | undefined

  return async () => {
    asked ??= ask().finally(() => {
      asked = undefined
    })
    return asked
  }

  async function ask(): Promise<boolean> {
    const error = await inTime(store.ping()).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    const isReady = error === undefined
    if (isReady !== wasReady) onChange(error)
    wasReady = isReady
    return isReady
  }

  async function inTime(answer: Promise<void>): Promise<void> {
    const answered = new AbortController()
    const tooLate = async () => {
      await clock.sleep(patienceMs, answered.signal)
      throw new Error(`The session store did not answer within ${patienceMs} ms`)
    }
    await Promise.race([answer, tooLate()]).finally(() => answered.abort())
  }
}
