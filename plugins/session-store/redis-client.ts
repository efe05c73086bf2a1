import type { ConnectionOptions } from 'node:tls'
import { Cluster, type CommonRedisOptions, Redis, type StandaloneConnectionOptions } from 'ioredis'
import type { RedisAddress, RedisTarget } from '../../config/index.ts'
import { redisScripts } from './redis-scripts.ts'
import { type RedisTlsFiles, redisTls } from './redis-tls.ts'

export type RedisClient = Redis | Cluster

/** Credentials and files for the connection, besides the URL. */
export interface RedisAccess extends RedisTlsFiles {
  /** Password of the Sentinels. Unset: the password of the URL. Sentinels without a password ignore it. */
  sentinelPassword?: string | undefined
}

/** Address to test with a plain connection when ioredis does not report why connecting failed. */
export interface Probe {
  address: RedisAddress
  tls: ConnectionOptions | undefined
}

/** Timeout for a Sentinel's reply. */
const SENTINEL_TIMEOUT_MS = 500

/** Called with the reply to INFO on each new connection; undefined if the user has no permission for it. */
export type OnInfo = (reply: string | undefined) => void

/**
 * Does not connect yet.
 * @throws when a file of `access` can't be read
 */
export function createClient(
  target: RedisTarget,
  access: RedisAccess,
  onInfo: OnInfo = () => {},
): RedisClient {
  const tls = target.tls ? redisTls(access, namedHosts(target)) : undefined
  const client = newClient(target, access, tls)
  if (client instanceof Redis) prepare(client, onInfo)
  else
    client.on('+node', (node: Redis) => {
      prepare(node, onInfo)
      withHostInSlots(node)
    })
  return client
}

/** Options to connect to the URL's first host, to find out what is wrong there. */
export function firstHost(target: RedisTarget, access: RedisAccess): Probe {
  const [address] = addressesOf(target)
  if (!address) throw new RangeError('The URL names no host')
  const tls = target.tls ? redisTls(access, namedHosts(target))(address.host) : undefined
  return { address, tls }
}

/** Mends a connection to a single server, besides its options. */
export function prepare(redis: Redis, onInfo: OnInfo): void {
  const info = redis.info.bind(redis) as () => Promise<string>
  // ioredis uses INFO to see whether Redis is still loading. If INFO is refused it continues, but writes to the
  // console. It passes a callback; the type also has the overloads with promises and sections.
  redis.info = ((callback: (error: unknown, text?: string) => void) =>
    info().then(
      (reply) => {
        onInfo(reply)
        callback(null, reply)
      },
      (error: unknown) => {
        if (!isNoPermission(error)) return callback(error)
        onInfo(undefined)
        callback(null, '')
      },
    )) as unknown as typeof redis.info
  redis.on('error', (error: Error & { command?: { name: string } }) => {
    // ioredis would continue with database 0, which may belong to another application.
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
        // `natMap` is the only way to set options per node: here TLS, by the host that Sentinels announce.
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
        // Three tries 100 ms apart; after that the caller retries.
        maxRedirections: 4,
        // ioredis would resolve names to addresses, which certificates rarely contain, and fail if one is unknown.
        dnsLookup: (host, callback) => callback(null, host),
        natMap: (node: string) => {
          const address = addressOf(node)
          // A redirection may contain only a port.
          const host = address.host || firstHost
          return { ...address, host, ...(tls && { tls: tls(host) }) }
        },
        scripts: redisScripts,
      })
    }
  }
}

/**
 * No command hangs: it fails if it can't be sent or if its connection is lost, and is never resent later, after its
 * caller has already seen the failure. A lock acquired that way would have no owner.
 */
const COMMON_OPTIONS = {
  lazyConnect: true,
  connectTimeout: 2_000,
  // The time limit of a command is set in redis-commands.ts. This one closes and reopens a connection whose peer has
  // silently disappeared.
  socketTimeout: 2_000,
  enableOfflineQueue: false,
  // Also: ioredis resends no command whose connection was lost.
  maxRetriesPerRequest: 0,
  // redis-subscription.ts subscribes on every 'ready' itself, to see when that fails.
  autoResubscribe: false,
  // CLIENT SETINFO is refused to users with few permissions, and each refusal is written to Redis's ACL LOG.
  disableClientInfo: true,
  retryStrategy: retryDelayMs,
  // A former master that was demoted while we are connected to it: reconnect to the new one.
  reconnectOnError: (error: Error) => /(?:^|[-\s])(?:READONLY|LOADING|MASTERDOWN)\b/.test(error.message),
  disconnectTimeout: 500,
} satisfies CommonRedisOptions & StandaloneConnectionOptions

/** Number of tries in quick succession: some 10 s, as long as a failover takes. Requests wait for its end. */
const QUICK_RETRIES = 40

export function retryDelayMs(attempt: number): number {
  return attempt > QUICK_RETRIES ? 1_000 : Math.min(50 * 2 ** (attempt - 1), 250)
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

/** Redis refuses a command, key or channel because the user lacks the permission. */
export function isNoPermission(error: unknown): boolean {
  return error instanceof Error && /(?:^|\s)NOPERM\b/.test(error.message)
}

/** ioredis joins host and port with a colon, even for IPv6 addresses. */
function addressOf(node: string) {
  const colon = node.lastIndexOf(':')
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) }
}

/** A range of slots and its nodes: host, port and more. */
type SlotRange = [start: number, end: number, ...nodes: [host: string | null, port: number, ...unknown[]][]]

type ClusterCommand = (subcommand: string, callback: SlotsCallback) => unknown

type SlotsCallback = (error: unknown, ranges?: SlotRange[]) => void

/**
 * Adds missing hosts to a node's reply to CLUSTER SLOTS. The host is empty if a node does not know its own address
 * (in a Cluster with one node) or must not announce it (`cluster-preferred-endpoint-type unknown-endpoint`): it is
 * then the host that was asked. ioredis would ignore such a node.
 * @see https://redis.io/docs/latest/commands/cluster-slots/
 */
function withHostInSlots(node: Redis): void {
  const duplicate = node.duplicate.bind(node)
  // ioredis sends CLUSTER SLOTS on a separate connection.
  node.duplicate = (options) => {
    const copy = duplicate(options)
    // ioredis passes a callback; its type has all overloads of CLUSTER.
    const command = copy.cluster.bind(copy) as unknown as ClusterCommand
    const named: ClusterCommand = (subcommand, callback) =>
      command(subcommand, (error, ranges) => callback(error, ranges && nameHosts(ranges, node.options.host)))
    copy.cluster = named as unknown as typeof copy.cluster
    return copy
  }
}

function nameHosts(ranges: SlotRange[], host = ''): SlotRange[] {
  for (const [, , ...nodes] of ranges) for (const node of nodes) node[0] ||= host
  return ranges
}
