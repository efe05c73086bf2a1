import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { type RedisServer, startRedis } from './redis.ts'

export interface RedisTopology {
  /** As `REDIS_URL` takes it. */
  url: string
  servers: RedisServer[]
  close(): Promise<void>
}

/** A master without a replica, and a Sentinel that names it `sessions`. */
export async function startSentinel(): Promise<RedisTopology> {
  const master = await startRedis()
  const sentinel = await startRedis({
    sentinel: true,
    config: [`sentinel monitor sessions 127.0.0.1 ${master.port} 1`],
  })
  return topology(`sentinel://127.0.0.1:${sentinel.port}/sessions`, [master, sentinel])
}

/** Three masters that share the slots. */
export async function startCluster(): Promise<RedisTopology> {
  const servers = await Promise.all([startNode(), startNode(), startNode()])
  const [first] = servers
  const share = Math.ceil(16_384 / servers.length)
  await Promise.all(
    servers.map(async ({ server }, i) => {
      await send(server.port, `CLUSTER SET-CONFIG-EPOCH ${i + 1}`)
      await send(server.port, `CLUSTER ADDSLOTSRANGE ${i * share} ${Math.min((i + 1) * share, 16_384) - 1}`)
    }),
  )
  for (const { server, busPort } of servers.slice(1)) {
    await send(first.server.port, `CLUSTER MEET 127.0.0.1 ${server.port} ${busPort}`)
  }
  await Promise.all(servers.map(({ server }) => untilAgreed(server.port)))
  const nodes = servers.map(({ server }) => `127.0.0.1:${server.port}`).join(',')
  return topology(
    `cluster://${nodes}`,
    servers.map(({ server }) => server),
  )
}

async function startNode(): Promise<{ server: RedisServer; busPort: number }> {
  const busPort = await freePort()
  const server = await startRedis({
    config: ['cluster-enabled yes', `cluster-port ${busPort}`, 'cluster-node-timeout 2000'],
  })
  return { server, busPort }
}

function topology(url: string, servers: RedisServer[]): RedisTopology {
  return {
    url,
    servers,
    async close() {
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

/** Cluster nodes gossip, and tell nobody when they are done. */
async function untilAgreed(port: number): Promise<void> {
  while (!/cluster_state:ok.*cluster_known_nodes:3/s.test(await send(port, 'CLUSTER INFO'))) await wait(20)
}

async function send(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  socket.write(`${command}\r\n`)
  const [answer] = (await once(socket, 'data')) as [string]
  socket.destroy()
  if (answer.startsWith('-')) throw new Error(`${command}: ${answer}`)
  return answer
}
