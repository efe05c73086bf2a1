import { Cluster, type CommonRedisOptions, Redis, type StandaloneConnectionOptions } from 'ioredis'
import { redisScripts } from './redis-scripts.ts'
import { type RedisTlsFiles, redisTls } from './redis-tls.ts'
import type { RedisTarget } from './redis-url.ts'

export type RedisClient = Redis | Cluster

/** What it takes to be let in, besides the URL. */
export interface RedisAccess extends RedisTlsFiles {
  /** Of the Sentinels. Unset: the password of the URL, which Sentinels without a password don't mind. */
  sentinelPassword?: string | undefined
}

/** How long a command waits for its answer. */
export const COMMAND_TIMEOUT_MS = 500

/** Does not connect yet. @throws when a file of `access` can't be read */
export function createClient(target: RedisTarget, access: RedisAccess): RedisClient {
  const options = { ...COMMON_OPTIONS, ...target.credentials }
  const tls = target.tls ? redisTls(access, namedHosts(target)) : undefined

  switch (target.kind) {
    case 'single':
      return new Redis({
        ...options,
        ...target.node,
        db: target.db,
        ...(tls && { tls: tls(target.node.host) }),
        scripts: redisScripts,
      })

    case 'sentinel': {
      const sentinelPassword = access.sentinelPassword ?? target.credentials.password
      return new Redis({
        ...options,
        sentinels: target.sentinels,
        name: target.masterName,
        db: target.db,
        ...(sentinelPassword !== undefined && { sentinelPassword }),
        sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
        sentinelRetryStrategy: retryDelayMs,
        sentinelReconnectStrategy: retryDelayMs,
        failoverDetector: true,
        // `natMap` is the only way to options of a single node: here its TLS, by the host that Sentinels announce.
        ...(tls && {
          tls: {},
          enableTLSForSentinelMode: true,
          sentinelTLS: tls(),
          natMap: (node: string) => withTls(node, tls),
        }),
        scripts: redisScripts,
      })
    }

    case 'cluster': {
      const nodes = target.nodes.map((node) => ({ ...node, ...(tls && { tls: tls(node.host) }) }))
      return new Cluster(nodes, {
        redisOptions: options,
        enableOfflineQueue: false,
        lazyConnect: true,
        clusterRetryStrategy: retryDelayMs,
        // Three tries 100 ms apart are what fits into the time-out.
        maxRedirections: 4,
        // ioredis would replace names by addresses, which certificates seldom hold, and give up if one is unknown.
        dnsLookup: (host, callback) => callback(null, host),
        ...(tls && {
          natMap: (node: string) => {
            const { host, port } = addressOf(node)
            return { host, port, tls: tls(host) }
          },
        }),
        scripts: redisScripts,
      })
    }
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
  // CLIENT SETINFO is refused to users with few permissions, and each refusal stands in Redis's ACL LOG.
  disableClientInfo: true,
  retryStrategy: retryDelayMs,
  // A former master, demoted while we stay connected to it: look for the new one.
  reconnectOnError: (error: Error) => error.message.includes('READONLY'),
  disconnectTimeout: 500,
} satisfies CommonRedisOptions & StandaloneConnectionOptions

function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 5), 1_000)
}

function namedHosts(target: RedisTarget): string[] {
  switch (target.kind) {
    case 'single':
      return [target.node.host]
    case 'sentinel':
      return target.sentinels.map(({ host }) => host)
    case 'cluster':
      return target.nodes.map(({ host }) => host)
  }
}

function withTls(node: string, tls: ReturnType<typeof redisTls>) {
  const { host, port } = addressOf(node)
  return { ...tls(host), host, port }
}

/** ioredis joins host and port by a colon, IPv6 addresses too. */
function addressOf(node: string) {
  const colon = node.lastIndexOf(':')
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) }
}
