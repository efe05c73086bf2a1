import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startCluster } from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'

/** A Redis of several servers, and its possible failures under load. */
export interface TroubledRedis {
  /** A value for `REDIS_URL`. */
  url: string
  /** Each resolves when Redis accepts writes again or soon will, with a function that restores the rest. */
  troubles: Record<string, () => Promise<() => Promise<void>>>
  close(): Promise<void>
}

const FROZEN_MS = 25_000
const PAUSED_MS = 3_000
const nothing = async () => {}

export const topologies = { sentinel: sentinelSet, cluster, single }

/** A master with two replicas, watched by three Sentinels. */
async function sentinelSet(): Promise<TroubledRedis> {
  const quick = 'repl-diskless-sync-delay 0'
  const master = await startRedis({ config: [quick] })
  const replica = { config: [quick, `replicaof 127.0.0.1 ${master.port}`] }
  const servers = [master, ...(await Promise.all([startRedis(replica), startRedis(replica)]))]
  // The answer to INFO may arrive in parts.
  await until(async () => (await master.send('WAIT 2 100')).startsWith(':2'))
  const monitor = [
    `sentinel monitor sessions 127.0.0.1 ${master.port} 2`,
    'sentinel down-after-milliseconds sessions 1000',
    'sentinel failover-timeout sessions 6000',
    'sentinel parallel-syncs sessions 2',
  ]
  const sentinels: RedisServer[] = []
  for (let i = 0; i < 3; i++) sentinels.push(await startRedis({ sentinel: true, config: monitor }))
  const ask = async (command: string) => (await sentinels[0]?.send(`SENTINEL ${command} sessions`)) ?? ''
  await until(async () => (await ask('CKQUORUM')).startsWith('+OK 3'))

  return {
    url: `sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join()}/sessions`,
    troubles: {
      planned: () =>
        moved(async () => {
          await until(async () => (await ask('FAILOVER')).startsWith('+OK'))
          return nothing
        }),
      killed: () => moved(kill),
      frozen: () => moved(freeze),
    },
    close: () => closeAll([...servers, ...sentinels]),
  }

  async function moved(begin: (master: RedisServer) => Promise<() => Promise<void>>) {
    const before = await masterPort()
    const end = await begin(servers.find(({ port }) => port === before) ?? assert.fail())
    await until(async () => (await masterPort()) !== before)
    return end
  }

  async function masterPort(): Promise<number> {
    return Number(/\d{4,5}(?=\s*$)/.exec(await ask('GET-MASTER-ADDR-BY-NAME'))?.[0])
  }
}

/** Three masters with a replica each. Each failure affects one shard, in turn. */
async function cluster(): Promise<TroubledRedis> {
  const { url, servers, close } = await startCluster({ replicas: 1, config: ['repl-diskless-sync-delay 0'] })
  const shards = [0, 1, 2].map((i) => [servers[i], servers[i + 3]] as [RedisServer, RedisServer])
  for (const { send } of servers.slice(0, 3)) {
    await until(async () => (await send('WAIT 1 100')).startsWith(':1'))
  }
  let turn = 0

  return {
    url,
    troubles: {
      planned: () =>
        moved(async (_master, replica) => {
          await until(async () => (await replica.send('CLUSTER FAILOVER')).startsWith('+OK'))
          return nothing
        }),
      killed: () => moved(kill),
      frozen: () => moved(freeze),
      async resharded() {
        const [from, to] = await Promise.all([shardOf(turn++), shardOf(turn)])
        await reshard(from[0], to[0], servers)
        return nothing
      },
    },
    close,
  }

  async function moved(begin: (master: RedisServer, replica: RedisServer) => Promise<() => Promise<void>>) {
    const [master, replica] = await shardOf(turn++)
    const end = await begin(master, replica)
    await until(() => isMaster(replica))
    return end
  }

  async function shardOf(number: number): Promise<[master: RedisServer, replica: RedisServer]> {
    const [one, other] = shards[number % shards.length] ?? assert.fail()
    return (await isMaster(one)) ? [one, other] : [other, one]
  }
}

/** Moves every slot that has keys, as `redis-cli --cluster reshard` does, while they are used. */
async function reshard(from: RedisServer, to: RedisServer, all: RedisServer[]): Promise<void> {
  const [fromId, toId] = await Promise.all([idOf(from), idOf(to)])
  const nodes = await from.send('CLUSTER NODES')
  const slots = /myself.* connected(.*)/.exec(nodes)?.[1] ?? assert.fail(nodes)
  for (const [, first, last = first] of slots.matchAll(/ (\d+)(?:-(\d+))?(?=[ \r]|$)/g)) {
    for (let slot = Number(first); slot <= Number(last); slot++) {
      if ((await from.send(`CLUSTER COUNTKEYSINSLOT ${slot}`)).startsWith(':0')) continue
      await to.send(`CLUSTER SETSLOT ${slot} IMPORTING ${fromId}`)
      await from.send(`CLUSTER SETSLOT ${slot} MIGRATING ${toId}`)
      for (;;) {
        const keys = (await from.send(`CLUSTER GETKEYSINSLOT ${slot} 10`)).match(/^bff:.*(?=\r$)/gm)
        if (!keys) break
        await from.send(`MIGRATE 127.0.0.1 ${to.port} "" 0 5000 KEYS ${keys.join(' ')}`)
      }
      for (const { send } of [to, from, ...all]) {
        await send(`CLUSTER SETSLOT ${slot} NODE ${toId}`).catch((error: Error) => {
          // Replicas get it from their masters.
          if (!/only with masters/.test(error.message)) throw error
        })
      }
    }
  }
}

/** One server with persistence. */
async function single(): Promise<TroubledRedis> {
  const server = await startRedis({ config: ['appendonly yes'] })
  return {
    url: server.url,
    troubles: {
      async restarted() {
        await server.stop()
        await server.restart()
        return nothing
      },
      async killed() {
        await server.kill()
        await server.restart()
        return nothing
      },
      async paused() {
        await server.send(`CLIENT PAUSE ${PAUSED_MS} ALL`)
        await wait(PAUSED_MS)
        return nothing
      },
    },
    close: server.close,
  }
}

async function kill(server: RedisServer) {
  await server.kill()
  return () => server.restart()
}

async function freeze(server: RedisServer) {
  server.pause()
  const resumed = wait(FROZEN_MS).then(() => server.resume())
  return () => resumed
}

async function isMaster({ send }: RedisServer): Promise<boolean> {
  return /master/.test((await send('ROLE')).slice(0, 20))
}

async function idOf({ send }: RedisServer): Promise<string> {
  return (await send('CLUSTER MYID')).split('\r\n')[1] ?? assert.fail()
}

async function closeAll(servers: RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.close()))
}
