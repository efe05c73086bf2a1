import { setTimeout as pause } from 'node:timers/promises'
import { ReplyError } from 'ioredis'
import type { RedisClient } from './redis-client.ts'
import type { RedisConnection } from './redis-connection.ts'
import { answerWithin, type Reachability, tooLate } from './redis-reachability.ts'
import { StoreUnavailableError } from './store.ts'

export interface RedisCommandsOptions {
  connection: Pick<RedisConnection, 'client' | 'route'> & {
    reachability: Pick<Reachability, 'isReady' | 'awayMs' | 'ready'>
  }
  /** How long a caller waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
}

export interface RedisCommands {
  /**
   * Sends a command, and resends it when its connection is lost, until it is answered. So `send` must be idempotent and
   * safe to run late.
   *
   * @param options `patienceMs`: how long the caller waits, default `storeTimeoutMs`; `once`: not resent
   * @throws StoreUnavailableError when there is no reply in time, or at once if Redis refuses this command,
   *   too many callers are waiting, or Redis has been down for long
   */
  run<T>(send: Send<T>, options?: { patienceMs?: number; once?: boolean }): Promise<T>
  /** Time of Redis's last reply, by `performance.now()`. */
  readonly answeredAt: number
}

type Send<T> = (redis: RedisClient) => Promise<T>

/** After this time without a reply, checks whether to resend the command. */
const LOOK_AGAIN_MS = 500
/** Pause after a failed try. */
const FIRST_RETRY_MS = 25
const LONGEST_RETRY_MS = 250
/** Maximum number of callers that wait for a Redis that does not answer; further ones fail at once. */
export const MAX_WAITING = 1_000
/** An outage longer than this multiple of a caller's timeout will probably last, so callers fail at once. */
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

    /** Resending over the same connection is useless: the command would queue behind the first one. */
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
 * Error replies of Redis during a failover, start or resharding. Older versions embed them in the text of a script
 * error.
 */
const PASSING = /[-\s](?:READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MOVED|ASK|BUSY)\b/

/** Whether a retry may help: the connection was lost, or Redis is temporarily unable to answer. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return false
  return !(error instanceof ReplyError) || PASSING.test(String(error))
}

/** ioredis attaches the command and its arguments to errors: sealed records, lock owners, a password. */
export function withoutArguments(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  return error
}
