import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { type RedisServer, type RedisTls, startRedis } from './redis.ts'

export interface RedisTopology {
  /** A value for `REDIS_URL`. */
  url: string
  /** The servers that store data. */
  servers: RedisServer[]
  close(): Promise<void>
}

export interface TopologyOptions {
  tls?: RedisTls
  /** Password of the default user of the servers that store data. */
  password?: string
  /** More configuration lines for the servers that store data. */
  config?: string[]
  /** More configuration lines for the Sentinel. */
  sentinelConfig?: string[]
  /** The part before the @ of the URL. */
  login?: string
  /** Host name in the URL instead of 127.0.0.1. */
  host?: string
  /** Masters of a Cluster. Default 3. A single node does not know its own address. */
  nodes?: number
  /** Replicas of each master of a Cluster, after all masters in `servers`. Default 0. */
  replicas?: number
  /** Host name of the master at the Sentinel. */
  masterHost?: string
  /** Database behind the Sentinel or on a single server. */
  database?: number
}

export async function startSingle(options: TopologyOptions = {}): Promise<RedisTopology> {
  const { database } = options
  const server = await startRedis(serverOptions(options))
  const path = database === undefined ? '' : `/${database}`
  return topology(`redis${urlFrom(options, [server.port])}${path}`, [server])
}

/** A master without a replica, and a Sentinel that calls it `sessions`. */
export async function startSentinel(options: TopologyOptions = {}): Promise<RedisTopology> {
  const { tls, password, sentinelConfig = [], masterHost = '127.0.0.1', database } = options
  const auth = password === undefined ? [] : [`sentinel auth-pass sessions ${password}`]
  const master = await startRedis(serverOptions(options))
  const names = ['sentinel resolve-hostnames yes', 'sentinel announce-hostnames yes']
  const sentinel = await startRedis({
    sentinel: true,
    config: [
      ...names,
      `sentinel monitor sessions ${masterHost} ${master.port} 1`,
      ...auth,
      ...sentinelConfig,
    ],
    ...(tls && { tls }),
  })
  const path = database === undefined ? '' : `/${database}`
  const url = `sentinel${urlFrom(options, [sentinel.port])}/sessions${path}`
  return topology(url, [master], [sentinel])
}

/** Masters that share the slots, and their replicas. */
export async function startCluster(options: TopologyOptions = {}): Promise<RedisTopology> {
  const { nodes: count = 3, replicas = 0 } = options
  const [first, ...others] = await Promise.all([
    startNode(options),
    ...Array.from({ length: count - 1 }, () => startNode(options)),
  ])
  const nodes = [first, ...others]
  const share = Math.ceil(16_384 / nodes.length)
  await Promise.all(
    nodes.map(async ({ server }, i) => {
      await server.send(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`)
      await server.send(`CLUSTER ADDSLOTSRANGE ${i * share} ${Math.min((i + 1) * share, 16_384) - 1}`)
    }),
  )
  for (const { server, busPort } of others) {
    await first.server.send(`CLUSTER MEET 127.0.0.1 ${server.port} ${busPort}`)
  }
  const masters = nodes.map(({ server }) => server)
  await Promise.all(masters.map((server) => untilAgreed(server, count)))
  const servers = [...masters]
  for (let i = 0; i < replicas * count; i++) {
    const { server, busPort } = await startNode(options)
    servers.push(server)
    await first.server.send(`CLUSTER MEET 127.0.0.1 ${server.port} ${busPort}`)
    await Promise.all(servers.map((each) => untilAgreed(each, servers.length)))
    const master = await masters[i % count]?.send('CLUSTER MYID')
    await server.send(`CLUSTER REPLICATE ${master?.split('\r\n')[1]}`)
  }
  const ports = servers.map(({ port }) => port)
  return topology(`cluster${urlFrom(options, ports)}`, servers)
}

async function startNode(options: TopologyOptions) {
  const busPort = await freePort()
  const cluster = ['cluster-enabled yes', `cluster-port ${busPort}`, 'cluster-node-timeout 2000']
  if (options.tls) cluster.push('tls-cluster yes')
  const server = await startRedis(serverOptions(options, cluster))
  return { server, busPort }
}

function serverOptions({ tls, password, config = [] }: TopologyOptions, more: string[] = []) {
  return {
    config: [...config, ...more],
    ...(tls && { tls }),
    ...(password !== undefined && { password }),
  }
}

/** The URL from the end of the scheme to the last port. */
function urlFrom({ tls, login, host = '127.0.0.1' }: TopologyOptions, ports: number[]): string {
  const hosts = ports.map((port) => `${host}:${port}`).join(',')
  return `${tls ? 's' : ''}://${login ? `${login}@` : ''}${hosts}`
}

function topology(url: string, servers: RedisServer[], others: RedisServer[] = []): RedisTopology {
  return {
    url,
    servers,
    async close() {
      await Promise.all([...servers, ...others].map((server) => server.close()))
    },
  }
}

/** Polls, as Cluster nodes don't report when their gossip has converged. */
async function untilAgreed(server: RedisServer, count: number): Promise<void> {
  const agreed = new RegExp(`cluster_state:ok.*cluster_known_nodes:${count}\\b`, 's')
  while (!agreed.test(await server.send('CLUSTER INFO'))) await wait(20)
}
