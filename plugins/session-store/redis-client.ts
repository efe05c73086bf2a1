import type { ConnectionOptions } from 'node:tls'
import { Cluster, type CommonRedisOptions, Redis, type StandaloneConnectionOptions } from 'ioredis'
import type { RedisAddress, RedisTarget } from '../../config/index.ts'
import { withHostInSlots } from './redis-cluster.ts'
import { redisScripts } from './redis-scripts.ts'
import { type RedisTlsFiles, redisTls } from './redis-tls.ts'

export type RedisClient = Redis | Cluster

/** What it takes to be let in, besides the URL. */
export interface RedisAccess extends RedisTlsFiles {
  /** Of the Sentinels. Unset: the password of the URL, which Sentinels without a password don't mind. */
  sentinelPassword?: string | undefined
}

/** Where a connection is tried when ioredis doesn't say why there is none. */
export interface Probe {
  address: RedisAddress
  tls: ConnectionOptions | undefined
}

/** How long a Sentinel has for its answer. */
const SENTINEL_TIMEOUT_MS = 500

/**
 * Does not connect yet.
 * @param onInfoRefused is called when the user may not use INFO
 * @throws when a file of `access` can't be read
 */
export function createClient(
  target: RedisTarget,
  access: RedisAccess,
  onInfoRefused: () => void = () => {},
): RedisClient {
  const tls = target.tls ? redisTls(access, namedHosts(target)) : undefined
  const client = newClient(target, access, tls)
  if (client instanceof Redis) prepare(client, onInfoRefused)
  else
    client.on('+node', (node: Redis) => {
      prepare(node, onInfoRefused)
      withHostInSlots(node)
    })
  return client
}

/** How to connect to the first host that the URL names, for a look at what is wrong there. */
export function firstHost(target: RedisTarget, access: RedisAccess): Probe {
  const [address] = addressesOf(target)
  if (!address) throw new RangeError('The URL names no host')
  const tls = target.tls ? redisTls(access, namedHosts(target))(address.host) : undefined
  return { address, tls }
}

/** What a connection to a single server needs beside its options. */
export function prepare(redis: Redis, onInfoRefused: () => void): void {
  const info = redis.info.bind(redis) as () => Promise<string>
  // By INFO ioredis sees whether Redis is still loading. If that is refused it goes on, but not without writing to
  // the console.
  redis.info = ((callback: (error: unknown, text?: string) => void) =>
    info().then(
      (text) => callback(null, text),
      (error: unknown) => {
        if (!isNoPermission(error)) return callback(error)
        onInfoRefused()
        callback(null, '')
      },
    )) as unknown as typeof redis.info
  redis.on('error', (error: Error & { command?: { name: string } }) => {
    // It would go on with database 0, which is somebody else's.
    if (error.command?.name === 'select') redis.stream.destroy()
  })
}

function newClient(
  target: RedisTarget,
  access: RedisAccess,
  tls: ReturnType<typeof redisTls> | undefined,
): RedisClient {
  const options = { ...COMMON_OPTIONS, ...target.credentials }

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
        sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
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
      const firstHost = target.nodes[0]?.host ?? ''
      return new Cluster(nodes, {
        redisOptions: options,
        enableOfflineQueue: false,
        lazyConnect: true,
        clusterRetryStrategy: retryDelayMs,
        // Three tries 100 ms apart; then it is for the sender to try again.
        maxRedirections: 4,
        // ioredis would replace names by addresses, which certificates seldom hold, and give up if one is unknown.
        dnsLookup: (host, callback) => callback(null, host),
        natMap: (node: string) => {
          const address = addressOf(node)
          // A redirection may name a port only.
          const host = address.host || firstHost
          return { ...address, host, ...(tls && { tls: tls(host) }) }
        },
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
  // How long a command waits is not for its connection to say: see redis-commands.ts. But a peer that vanished
  // without a word is given up after this, and connected anew.
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
  reconnectOnError: (error: Error) => /(?:^|[-\s])(?:READONLY|LOADING|MASTERDOWN)\b/.test(error.message),
  disconnectTimeout: 500,
} satisfies CommonRedisOptions & StandaloneConnectionOptions

function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 5), 1_000)
}

function addressesOf(target: RedisTarget): RedisAddress[] {
  switch (target.kind) {
    case 'single':
      return [target.node]
    case 'sentinel':
      return target.sentinels
    case 'cluster':
      return target.nodes
  }
}

function namedHosts(target: RedisTarget): string[] {
  return addressesOf(target).map(({ host }) => host)
}

function withTls(node: string, tls: ReturnType<typeof redisTls>) {
  const { host, port } = addressOf(node)
  return { ...tls(host), host, port }
}

/** Redis refuses a command, key or channel to the user by whom it is sent. */
export function isNoPermission(error: unknown): boolean {
  return error instanceof Error && /(?:^|\s)NOPERM\b/.test(error.message)
}

/** ioredis joins host and port by a colon, IPv6 addresses too. */
function addressOf(node: string) {
  const colon = node.lastIndexOf(':')
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) }
}
