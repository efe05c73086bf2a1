import type { Clock } from '../../lib/clock.ts'
import { type SessionStore, StoreUnavailableError } from './store.ts'

/** How long a readiness probe waits for the store. */
const timeoutMs = 1_000

export interface Readiness {
  isReady(): Promise<boolean>
  /** The store's last error reply, without secrets, so that it can be shown publicly. */
  warnings(): string[]
}

/**
 * Whether the store can be read and written now. Concurrent callers share one check.
 * @param onChange called when the result changes, with the error if there is one
 */
export function createReadiness(
  store: Pick<SessionStore, 'ping'>,
  clock: Clock,
  onChange: (error?: unknown) => void,
): Readiness {
  let wasReady = true
  let refusal: string | undefined
  let pending: Promise<boolean> | undefined

  return {
    async isReady() {
      pending ??= check().finally(() => {
        pending = undefined
      })
      return pending
    },

    warnings: () => (refusal === undefined ? [] : [`the session store answers ${refusal}`]),
  }

  async function check(): Promise<boolean> {
    const error = await withTimeout(store.ping()).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    const isReady = error === undefined
    if (isReady !== wasReady) onChange(error)
    wasReady = isReady
    refusal = refusalOf(error)
    return isReady
  }

  async function withTimeout(answer: Promise<void>): Promise<void> {
    const answered = new AbortController()
    const tooLate = async () => {
      await clock.sleep(timeoutMs, answered.signal)
      throw new Error(`The session store did not answer within ${timeoutMs} ms`)
    }
    await Promise.race([answer, tooLate()]).finally(() => answered.abort())
  }
}

/**
 * The code of Redis's error reply: `READONLY`, `NOREPLICAS`, `OOM`. The rest of the text may contain keys or
 * addresses.
 */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof StoreUnavailableError) || !(error.cause instanceof Error)) return undefined
  return /^[A-Z]{2,}(?= )/.exec(error.cause.message)?.[0]
}
