import { setTimeout as pause } from 'node:timers/promises'
import { ReplyError } from 'ioredis'
import type { RedisClient } from './redis-client.ts'
import type { RedisConnection } from './redis-connection.ts'
import { answerWithin, tooLate } from './redis-reachability.ts'
import { StoreUnavailableError } from './store.ts'

export interface RedisCommandsOptions {
  connection: RedisConnection
  /** How long a caller waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
}

export interface RedisCommands {
  /**
   * Sends a command, again and again if its connection is lost, until it is answered. So `send` must do no harm
   * when it is carried out twice, or late.
   *
   * @param options how long the caller waits, default `storeTimeoutMs`; `once`: it is not sent again
   * @throws StoreUnavailableError when there is no answer in time, or at once when Redis refuses this very command,
   *   when too many wait already, or when Redis has been away for long
   */
  run<T>(send: Send<T>, options?: { patienceMs?: number; once?: boolean }): Promise<T>
  /** When Redis last answered anything, by `performance.now()`. */
  readonly answeredAt: number
}

type Send<T> = (redis: RedisClient) => Promise<T>

/** After this long without an answer it is seen whether the command should go out once more. */
const LOOK_AGAIN_MS = 500
/** Between tries that failed. */
const FIRST_RETRY_MS = 25
const LONGEST_RETRY_MS = 250
/** So many may wait for a Redis that doesn't answer; the next is refused at once. */
export const MAX_WAITING = 1_000
/** An outage that has lasted for so many times the patience of one caller is likely to last: nobody waits any more. */
const LONG_OUTAGE = 3

export function createRedisCommands({ connection, storeTimeoutMs }: RedisCommandsOptions): RedisCommands {
  const { reachability } = connection
  let waiting = 0
  let answeredAt = Number.NEGATIVE_INFINITY

  return {
    run,
    get answeredAt() {
      return answeredAt
    },
  }

  async function run<T>(send: Send<T>, { patienceMs = storeTimeoutMs, once = false } = {}): Promise<T> {
    const giveUpAt = performance.now() + patienceMs
    const leftMs = () => Math.max(0, giveUpAt - performance.now())
    let isWaiting = false
    try {
      if (!reachability.isReady || waiting >= MAX_WAITING) wait()
      await reachability.ready(reachability.awayMs() > LONG_OUTAGE * storeTimeoutMs ? 0 : leftMs())
      for (let failures = 0; ; ) {
        const sentOver = connection.route()
        try {
          return await answered(send(connection.client), () => sentOver === connection.route())
        } catch (error) {
          if (once || !isPassing(error) || leftMs() === 0) throw error
        }
        wait()
        await pause(Math.min(FIRST_RETRY_MS * 2 ** failures++, LONGEST_RETRY_MS, leftMs()))
        await reachability.ready(leftMs())
      }
    } catch (cause) {
      throw new StoreUnavailableError(withoutArguments(cause))
    } finally {
      if (isWaiting) waiting--
    }

    /** Sent again over the same connection, a command would only come behind itself. */
    async function answered(answer: Promise<T>, isOnItsWay: () => boolean): Promise<T> {
      do {
        const result = await answerWithin(answer, Math.min(LOOK_AGAIN_MS, leftMs()))
        if (result !== tooLate) {
          answeredAt = performance.now()
          return result
        }
        wait()
      } while (leftMs() > 0 && isOnItsWay())
      throw new Error('Redis did not answer in time')
    }

    function wait(): void {
      if (isWaiting) return
      if (waiting >= MAX_WAITING) throw new RangeError('Too many wait for Redis already')
      isWaiting = true
      waiting++
    }
  }
}

/**
 * Replies that Redis gives while it fails over, starts or is reshaped. Older versions put them into the middle of what
 * they say of a script.
 */
const PASSING = /[-\s](?:READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MOVED|ASK|BUSY)\b/

/** Whether another try may help: the connection was lost, or Redis says that it can't just now. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return false
  return !(error instanceof ReplyError) || PASSING.test(String(error))
}

/** ioredis hangs a command with its arguments on its errors: sealed records, lock owners, a password. */
function withoutArguments(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  return error
}
