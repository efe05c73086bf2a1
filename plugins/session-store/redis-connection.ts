import { Cluster, type Redis } from 'ioredis'
import type { RedisTarget } from '../../config/index.ts'
import { createClient, firstHost, prepare, type RedisAccess, type RedisClient } from './redis-client.ts'
import { answerWithin, createReachability, type Reachability } from './redis-reachability.ts'
import { noReport, type RedisReport, reportState } from './redis-state.ts'
import {
  HEARTBEAT_MS,
  listen,
  type Subscription,
  type SubscriptionListener,
  toAnyNode,
} from './redis-subscription.ts'

/** A connection for commands and one for the subscription. Both reconnect automatically. */
export interface RedisConnection {
  client: RedisClient
  /** Whether there are replicas: one that was promoted to master may lack recent writes. */
  hasReplicas: boolean
  reachability: Reachability
  ready: Reachability['ready']
  /** Another value when a command that is sent now goes another way than one before. */
  route(): unknown
  /** Subscribes to one channel, until the connection is closed. */
  subscribe(channel: string, listener: SubscriptionListener): void
  /** Whether messages arrive: one published in the last two seconds did. */
  subscriptionHealthy(): boolean
  /** One sentence for each problem that does not prevent working. */
  warnings(): string[]
  close(): Promise<void>
}

/** ioredis stops reconnecting if a Sentinel announces a new master during a query for it. */
const RETRY_AFTER_END_MS = 100

/** How long a closing connection waits for outstanding replies. */
const GOODBYE_MS = 500

/** Starts to connect; does not throw if Redis is down. @throws when a file of `access` can't be read */
export function connectRedis(
  target: RedisTarget,
  access: RedisAccess = {},
  report: RedisReport = noReport,
): RedisConnection {
  let info: string | undefined
  const client = createClient(target, access, (reply) => {
    info = reply
    if (reply === undefined) report.infoRefused()
  })
  const reachability = createReachability(client)
  const state = reportState(client, { probe: firstHost(target, access), info: () => info }, report)
  let subscription: Subscription | undefined
  let isChannelRefused: string | undefined
  let closing = false
  client.on('error', ignore)
  client.on('end', () => {
    if (!closing) setTimeout(() => client.connect().catch(ignore), RETRY_AFTER_END_MS).unref()
  })
  client.connect().catch(ignore)

  // Detects a connection that was silently dropped on the network; otherwise the next request would. ioredis closes one
  // that does not answer within `socketTimeout`.
  const heartbeat = setInterval(() => {
    for (const node of nodesOf(client)) if (node.status === 'ready') node.ping().catch(ignore)
    if (state.isReplica()) (client as Redis).info(state.reportRole).catch(ignore)
  }, HEARTBEAT_MS).unref()

  return {
    client,
    hasReplicas: target.kind !== 'single',
    reachability,
    ready: reachability.ready,

    // A Cluster client chooses the node itself, possibly another one each time.
    route: () => (client instanceof Cluster ? Symbol('any node') : client.stream),

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
      state.end()
      reachability.close()
      clearInterval(heartbeat)
      subscription?.close()
      if (client.status === 'ready') await answerWithin(client.quit(), GOODBYE_MS).catch(ignore)
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

function ignore(): void {}
