import { isIP } from 'node:net'
import { Cluster, type CommonRedisOptions, Redis, type StandaloneConnectionOptions } from 'ioredis'
import { redisScripts } from './redis-scripts.ts'
import type { RedisTarget } from './redis-url.ts'

export type RedisClient = Redis | Cluster

/** A connection for commands, one to listen on, and what becomes of them. Both connect by themselves, again and again. */
export interface RedisConnection {
  client: RedisClient
  /**
   * Resolves when commands can be sent. While Redis has been away for less than {@link COMMAND_TIMEOUT_MS} it waits
   * for it to come back; from then on it rejects at once.
   */
  ready(): Promise<void>
  /** `onSubscribed` is called whenever listening begins (again): messages before that may have been missed. */
  subscribe(channel: string, listener: { onMessage(message: string): void; onSubscribed(): void }): void
  close(): Promise<void>
}

/** How long a command waits for its answer. */
export const COMMAND_TIMEOUT_MS = 500

const HEARTBEAT_MS = 5_000

/** ioredis gives up for good when a Sentinel announces the new master just while it is asked for one. */
const RETRY_AFTER_END_MS = 100

/** Starts to connect, and never throws for a Redis that is down. */
export function connectRedis(target: RedisTarget): RedisConnection {
  const client = createClient(target)
  // A Cluster client keeps a connection of its own for subscriptions.
  const subscriber = client instanceof Cluster ? client : createClient(target)
  const ready = readiness(client)
  let closing = false
  for (const each of new Set([client, subscriber])) {
    // Failures reach callers through `ready` and their commands; without a listener, ioredis prints them.
    each.on('error', ignore)
    each.on('end', () => {
      if (!closing) setTimeout(() => each.connect().catch(ignore), RETRY_AFTER_END_MS).unref()
    })
    each.connect().catch(ignore)
  }

  // A subscriber sends nothing, so that it would not notice for long that nobody is there any more. (That of a
  // Cluster client can't be reached from here.)
  const heartbeat = setInterval(() => {
    if (subscriber !== client) subscriber.ping().catch(ignore)
  }, HEARTBEAT_MS).unref()

  return {
    client,
    ready,

    subscribe(channel, { onMessage, onSubscribed }) {
      subscriber.on('message', (on: string, message: string) => {
        if (on === channel) onMessage(message)
      })
      const listen = () => subscriber.subscribe(channel).then(onSubscribed, ignore)
      subscriber.on('ready', listen)
      if (subscriber.status === 'ready') listen()
    },

    async close() {
      closing = true
      clearInterval(heartbeat)
      if (client.status === 'ready') await client.quit().catch(ignore)
      client.disconnect()
      subscriber.disconnect()
    },
  }
}

function createClient(target: RedisTarget): RedisClient {
  const options = { ...COMMON_OPTIONS, ...target.credentials }
  switch (target.kind) {
    case 'single':
      return new Redis({
        ...options,
        ...target.node,
        db: target.db,
        // TLS names the host it wants (SNI), which an address is not allowed to be.
        ...(target.tls && { tls: isIP(target.node.host) ? {} : { servername: target.node.host } }),
        scripts: redisScripts,
      })
    case 'sentinel':
      return new Redis({
        ...options,
        sentinels: target.sentinels,
        name: target.masterName,
        // Sentinels have no users as a rule: the same password, or none, which they then don't mind.
        ...(target.credentials.password && { sentinelPassword: target.credentials.password }),
        sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
        sentinelRetryStrategy: retryDelayMs,
        failoverDetector: true,
        scripts: redisScripts,
      })
    case 'cluster':
      return new Cluster(target.nodes, {
        redisOptions: options,
        enableOfflineQueue: false,
        lazyConnect: true,
        clusterRetryStrategy: retryDelayMs,
        // Three tries 100 ms apart are what fits into the time-out.
        maxRedirections: 4,
        scripts: redisScripts,
      })
  }
}

/**
 * Nothing hangs: a command that can't be sent is refused, one whose connection breaks fails, and none is sent a
 * second time later, when its caller has long been told that it failed: a lock taken so would have no owner.
 */
const COMMON_OPTIONS = {
  lazyConnect: true,
  connectTimeout: 2_000,
  commandTimeout: COMMAND_TIMEOUT_MS,
  // A peer that vanished without a word is given up after this, and connected anew.
  socketTimeout: 2_000,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  // `subscribe` does so on every 'ready', and hears when it failed.
  autoResubscribe: false,
  retryStrategy: retryDelayMs,
  // A former master, demoted while we stay connected to it: look for the new one.
  reconnectOnError: (error: Error) => error.message.includes('READONLY'),
  disconnectTimeout: 500,
} satisfies CommonRedisOptions & StandaloneConnectionOptions

function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 5), 1_000)
}

/** One promise per outage, which all who wait share: it resolves when that ends, or rejects when it takes too long. */
function readiness(client: RedisClient): () => Promise<void> {
  let outage: PromiseWithResolvers<void> | undefined
  let lastError: unknown = new Error('Not connected to Redis')

  const begin = () => {
    if (outage) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(ignore)
    setTimeout(() => reject(lastError), COMMAND_TIMEOUT_MS).unref()
    outage = { promise, resolve, reject }
  }
  const end = () => {
    outage?.resolve()
    outage = undefined
  }
  begin()
  client.on('close', begin)
  client.on('ready', end)
  client.on('error', (error) => {
    lastError = error
  })
  return async () => outage?.promise
}

function ignore(): void {}
