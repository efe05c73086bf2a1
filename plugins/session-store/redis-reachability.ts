import { arrivedDataRead } from '../../lib/event-loop.ts'
import type { RedisClient } from './redis-client.ts'

/** Whether Redis can be reached, and since when. Times are those of `performance.now()`, in milliseconds. */
export interface Reachability {
  readonly isReady: boolean
  /** Duration of the current outage: 0 while connected. */
  awayMs(): number
  /** End of the last outage, -Infinity if there was none. A first connection after several tries also ends one. */
  readonly backSince: number
  /**
   * Resolves when commands can be sent.
   * @throws the last connection error, if it takes longer than `withinMs`
   */
  ready(withinMs?: number): Promise<void>
  /** Registers a callback that runs after a reconnect, before the connection may be used. */
  beforeReady(task: () => Promise<void>): void
  onLost(listener: () => void): void
  /** Stops waiting, for shutdown. */
  close(): void
}

const DEFAULT_WAIT_MS = 5_000
/** How long commands wait for the callbacks after a reconnect. */
export const BEFORE_READY_MS = 2_000

/** One promise per outage, shared by all waiters. */
export function createReachability(client: RedisClient): Reachability {
  let lastError: unknown = new Error('Not connected to Redis')
  let backSince = Number.NEGATIVE_INFINITY
  let outage: Outage | undefined = beginOutage()
  let isFirst = true
  let before = async () => {}
  let onLost = () => {}
  let connections = 0

  client.on('close', () => {
    connections++
    if (!outage) onLost()
    outage ??= beginOutage()
    isFirst = false
  })
  client.on('ready', async () => {
    const connection = connections
    if (!isFirst) await answerWithin(before(), BEFORE_READY_MS).catch(() => {})
    if (connection !== connections) return
    if (!isFirst) backSince = performance.now()
    isFirst = false
    outage?.end()
    outage = undefined
  })
  client.on('error', (error) => {
    lastError = error
  })

  return {
    get isReady() {
      return outage === undefined
    },
    get backSince() {
      return backSince
    },
    awayMs: () => (outage ? performance.now() - outage.since : 0),

    async ready(withinMs = DEFAULT_WAIT_MS) {
      if (outage && (await answerWithin(outage.ended, withinMs)) === tooLate) throw lastError
    },

    beforeReady(task) {
      before = task
    },

    onLost(listener) {
      onLost = listener
    },

    close() {
      outage ??= beginOutage()
      outage.fail(new Error('The connection to Redis was closed'))
    },
  }
}

interface Outage {
  since: number
  ended: Promise<void>
  end(): void
  fail(error: Error): void
}

function beginOutage(): Outage {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  promise.catch(() => {})
  return { since: performance.now(), ended: promise, end: resolve, fail: reject }
}

export const tooLate = Symbol('too late')

/**
 * Resolves with the answer, or with `tooLate` when it has not arrived after `ms`.
 */
export function answerWithin<T>(answer: Promise<T>, ms: number): Promise<T | typeof tooLate> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(async () => {
      await arrivedDataRead()
      resolve(tooLate)
    }, ms)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
