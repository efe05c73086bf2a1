import { Cluster } from 'ioredis'
import { COMMAND_TIMEOUT_MS, createClient, type RedisAccess, type RedisClient } from './redis-client.ts'
import type { RedisTarget } from './redis-url.ts'

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

const HEARTBEAT_MS = 5_000

/** ioredis gives up for good when a Sentinel announces the new master just while it is asked for one. */
const RETRY_AFTER_END_MS = 100

/** Starts to connect, and never throws for a Redis that is down. @throws when a file of `access` can't be read */
export function connectRedis(target: RedisTarget, access: RedisAccess = {}): RedisConnection {
  const client = createClient(target, access)
  // A Cluster client keeps a connection of its own for subscriptions.
  const subscriber = client instanceof Cluster ? client : createClient(target, access)
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
