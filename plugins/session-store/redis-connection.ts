import { Cluster, type Redis } from 'ioredis'
import {
  COMMAND_TIMEOUT_MS,
  createClient,
  firstHost,
  prepare,
  type RedisAccess,
  type RedisClient,
} from './redis-client.ts'
import { noReport, type RedisReport, reportState } from './redis-state.ts'
import {
  HEARTBEAT_MS,
  listen,
  type Subscription,
  type SubscriptionListener,
  toAnyNode,
} from './redis-subscription.ts'
import type { RedisTarget } from './redis-url.ts'

/** A connection for commands, one to listen on, and what becomes of them. Both connect by themselves, again and again. */
export interface RedisConnection {
  client: RedisClient
  /**
   * Resolves when commands can be sent. While Redis has been away for less than {@link COMMAND_TIMEOUT_MS} it waits
   * for it to come back; from then on it rejects at once.
   */
  ready(): Promise<void>
  /** Listens to one channel, until the connection is closed. */
  subscribe(channel: string, listener: SubscriptionListener): void
  /** Whether messages are known to arrive: what was published in the last two seconds did. */
  subscriptionHealthy(): boolean
  /** A sentence for each thing that works badly, though it works. */
  warnings(): string[]
  close(): Promise<void>
}

/** ioredis gives up for good when a Sentinel announces the new master just while it is asked for one. */
const RETRY_AFTER_END_MS = 100

/** Starts to connect, and never throws for a Redis that is down. @throws when a file of `access` can't be read */
export function connectRedis(
  target: RedisTarget,
  access: RedisAccess = {},
  report: RedisReport = noReport,
): RedisConnection {
  const client = createClient(target, access, report.infoRefused)
  const ready = readiness(client)
  reportState(client, firstHost(target, access), report)
  let subscription: Subscription | undefined
  let isChannelRefused: string | undefined
  let closing = false
  client.on('error', ignore)
  client.on('end', () => {
    if (!closing) setTimeout(() => client.connect().catch(ignore), RETRY_AFTER_END_MS).unref()
  })
  client.connect().catch(ignore)

  // Something on its way that drops connections without a word would otherwise be noticed by the next request. One that
  // does not answer within `socketTimeout` is closed by ioredis.
  const heartbeat = setInterval(() => {
    for (const node of nodesOf(client)) if (node.status === 'ready') node.ping().catch(ignore)
  }, HEARTBEAT_MS).unref()

  return {
    client,
    ready,

    subscribe(channel, listener) {
      subscription = listen({
        channel,
        commands: client,
        open: newSubscriber,
        listener,
        onRefused(isRefused) {
          isChannelRefused = isRefused ? channel : undefined
          report.channelRefused(isRefused)
        },
      })
    },

    subscriptionHealthy: () => subscription?.isHealthy() ?? false,

    warnings: () =>
      isChannelRefused ? [`session store: the channel ${isChannelRefused} is refused to the user`] : [],

    async close() {
      closing = true
      clearInterval(heartbeat)
      subscription?.close()
      if (client.status === 'ready') await client.quit().catch(ignore)
      client.disconnect()
    },
  }

  function newSubscriber(): Redis | undefined {
    if (!(client instanceof Cluster)) return createClient(target, access) as Redis
    const subscriber = toAnyNode(client)
    if (subscriber) prepare(subscriber, ignore)
    return subscriber
  }
}

function nodesOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes() : [client]
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
