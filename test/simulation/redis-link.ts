import { createRecentReads } from '../../plugins/session-store/recent-reads.ts'
import type { RedisClient } from '../../plugins/session-store/redis-client.ts'
import { createRecentWrites, HEAD_START_MS } from '../../plugins/session-store/redis-failover.ts'
import { createRedisLocks } from '../../plugins/session-store/redis-locks.ts'
import { BEFORE_READY_MS } from '../../plugins/session-store/redis-reachability.ts'
import { createRedisRecords } from '../../plugins/session-store/redis-records.ts'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import type { ModelCommand, ModelRedis, ModelServer } from './model-redis.ts'
import type { Operation } from './plan.ts'
import type { GatewayProcess } from './process.ts'

/** One gateway's store: the real one, on a connection to the model of Redis where every command may fail. */
export interface RedisLink {
  store: SessionStore
  /** After noticing a failover: connects to the current master and restores what it lacks. */
  move(): Promise<void>
}

export interface RedisLinkOptions {
  redis: ModelRedis
  process: GatewayProcess
  isDown(): boolean
  /** The mechanisms that make a failover harmless. */
  protections?: Protections | undefined
}

export interface Protections {
  putsBack?: boolean
  headStart?: boolean
}

const storeTimeoutMs = 5_000
/** Interval for retrying a refused connection. */
const RECONNECT_MS = 200

export function createRedisLink({ redis, process, isDown, protections = {} }: RedisLinkOptions): RedisLink {
  const { putsBack = true, headStart = true } = protections
  const { clock, gateway } = process
  const writes = createRecentWrites({ now: clock.monotonic })
  let connection = connect(redis.master(), (command) => operations[command])
  let ready = Promise.resolve()
  let isReady = true
  let backSince = Number.NEGATIVE_INFINITY
  let moves = 0

  const masters = {
    headStartMs: () => (headStart ? Math.max(0, backSince + HEAD_START_MS - clock.monotonic()) : 0),
  }
  const recent = createRecentReads(() => false, clock.monotonic)
  const records = createRedisRecords({
    run,
    writes,
    masters,
    recent,
    mayCreate: true,
    storeTimeoutMs,
    clock,
  })
  const lock = createRedisLocks({
    connection: {
      get client() {
        return connection.client
      },
      reachability: {
        get isReady() {
          return isReady
        },
      },
    },
    run,
    writes,
    masters,
  })

  return {
    store: {
      ...records,
      lock,
      async changed(id, signal) {
        // Subscribed from now on; only the notification takes time.
        const news = connection.server.changes.wait(id, signal)
        const notified = process.send('changed', { effect: () => news, lost: () => undefined })
        const over = new AbortController()
        await Promise.race([notified, aborted(signal, over.signal)])
        over.abort()
      },
      async ping() {},
      count: () => undefined,
      async close() {
        connection.server.changes.notifyAll()
      },
    },
    move,
  }

  async function move(): Promise<void> {
    const move = ++moves
    const moved = Promise.withResolvers<void>()
    isReady = false
    ready = moved.promise
    writes.lost()
    connection.break()
    while (isDown() && move === moves) await clock.sleep(RECONNECT_MS)
    connection = connect(redis.master(), () => 'putBack')
    const { server } = connection
    if (putsBack) await Promise.race([writes.putBack(connection.client), clock.sleep(BEFORE_READY_MS)])
    // Another failover has happened meanwhile.
    if (move !== moves) return void ready.then(moved.resolve)
    connection = connect(server, (command) => operations[command])
    backSince = clock.monotonic()
    isReady = true
    moved.resolve()
  }

  /** A command whose connection breaks is repeated over the next one. */
  async function run<T>(send: (client: RedisClient) => Promise<T>): Promise<T> {
    for (;;) {
      await ready
      const { client, broken } = connection
      const answer = await Promise.race([send(client), broken])
      if (answer !== BROKEN) return answer
    }
  }

  function connect(server: ModelServer, operationOf: (command: ModelCommand) => Operation) {
    const broken = Promise.withResolvers<typeof BROKEN>()
    const sendCommand = (command: ModelCommand, args: unknown[]) =>
      process.send(operationOf(command), {
        effect: async () => {
          if (isDown()) throw unavailable('is down')
          return server.run(command, args, gateway)
        },
        lost() {
          throw unavailable(`lost a ${command}`)
        },
      })
    const client = new Proxy(
      {},
      {
        get:
          (_, command: ModelCommand) =>
          (...args: unknown[]) =>
            sendCommand(command, args),
      },
    ) as RedisClient
    return { server, client, broken: broken.promise, break: () => broken.resolve(BROKEN) }
  }
}

const BROKEN = Symbol('the connection broke')

const operations: Record<ModelCommand, Operation> = {
  bffCreate: 'replace',
  bffPut: 'replace',
  bffReadBuffer: 'read',
  bffReplace: 'replace',
  bffPutBack: 'putBack',
  bffEndAgain: 'putBack',
  bffDestroyBuffer: 'destroy',
  bffUpdateProfileBuffer: 'replace',
  bffEnterIndex: 'index',
  bffLeaveIndex: 'index',
  bffLock: 'lock',
  bffAddMarker: 'addMarker',
  bffRelease: 'release',
  bffBackOff: 'backOff',
  get: 'read',
  hget: 'read',
  hgetBuffer: 'read',
  hmgetBuffer: 'read',
  pexpire: 'replace',
  pttl: 'read',
  ping: 'read',
  scan: 'read',
  zrange: 'index',
}

function unavailable(why: string): StoreUnavailableError {
  return new StoreUnavailableError(new Error(`The model of Redis ${why}`))
}

/** @param over aborts when no one waits any more */
function aborted(signal: AbortSignal, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true, signal: over })
  })
}
