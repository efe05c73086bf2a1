import type { Cluster, Redis } from 'ioredis'
import { isNoPermission, type RedisClient } from './redis-client.ts'

export interface SubscriptionListener {
  onMessage(message: string): void
  /** Listening begins (again): messages before that may have been missed. */
  onSubscribed(): void
}

export interface SubscriptionOptions {
  channel: string
  /** Publishes what is to come back. */
  commands: RedisClient
  /** Another connection, not yet begun. Nothing: none can be made now. */
  open(): Redis | undefined
  listener: SubscriptionListener
  /** Told when Redis refuses the channel to this user, and when it no longer does. */
  onRefused(isRefused: boolean): void
}

export interface Subscription {
  /** Whether what was published in the last two seconds is known to arrive here. */
  isHealthy(): boolean
  close(): void
}

/** How often each connection is asked for a sign of life, and how often a message is sent to be heard again. */
export const HEARTBEAT_MS = 1_000

/** No longer than this since a message of our own came back: one heartbeat, and what the next may be late. */
const HEALTHY_MS = 2_000

/** So many messages of our own in a row that Redis has accepted and that did not come back. */
const DEAF_AFTER = 2

const REOPEN_MS = 100

/** A channel that is refused is tried again after this long: permissions can be granted while we run. */
const REFUSED_RETRY_MS = 30_000

/** What the messages of a heartbeat begin with. No identifier of a session holds a blank. */
const HEARTBEAT_PREFIX = 'heartbeat '

/**
 * Listens to a channel on a connection of its own, which is replaced when it is lost or when messages don't arrive over
 * it, as happens when it stays with a server that is no longer the master's or no longer in the Cluster.
 */
export function listen({ channel, commands, open, listener, onRefused }: SubscriptionOptions): Subscription {
  const own = `${HEARTBEAT_PREFIX}${crypto.randomUUID()} `
  let connection: Redis | undefined
  let isSubscribed = false
  let isClosed = false
  let [sent, accepted, heard, unheard] = [0, 0, 0, 0]
  let heardAt = Number.NEGATIVE_INFINITY
  let refusedUntil = Number.NEGATIVE_INFINITY
  const refused = { subscribe: false, publish: false }

  connect()
  const heartbeat = setInterval(beat, HEARTBEAT_MS).unref()

  return {
    isHealthy: () => isSubscribed && performance.now() - heardAt < HEALTHY_MS,
    close() {
      isClosed = true
      clearInterval(heartbeat)
      connection?.disconnect()
    },
  }

  function connect(): void {
    const opened = open()
    connection = opened
    if (!opened) {
      reconnectLater()
      return
    }
    // What is wrong is told of the connection for commands.
    opened.on('error', () => {})
    opened.on('ready', subscribe)
    opened.on('close', () => {
      isSubscribed = false
    })
    opened.on('end', reconnectLater)
    opened.on('message', (on: string, message: string) => {
      if (on !== channel) return
      if (message.startsWith(own)) hear(Number(message.slice(own.length)))
      else if (!message.startsWith(HEARTBEAT_PREFIX)) listener.onMessage(message)
    })
    opened.connect().catch(() => {})
  }

  function reconnectLater(): void {
    isSubscribed = false
    setTimeout(() => {
      if (!isClosed) connect()
    }, REOPEN_MS).unref()
  }

  async function subscribe(): Promise<void> {
    const on = connection
    try {
      await on?.subscribe(channel)
    } catch (error) {
      setRefused('subscribe', error)
      return
    }
    if (on !== connection) return
    setRefused('subscribe')
    isSubscribed = true
    unheard = 0
    listener.onSubscribed()
    void publish()
  }

  function beat(): void {
    if (connection?.status === 'ready') {
      connection.ping().catch(() => {})
      if (!isSubscribed && performance.now() >= refusedUntil) void subscribe()
    }
    unheard = isSubscribed && accepted > heard ? unheard + 1 : 0
    if (unheard >= DEAF_AFTER) connection?.stream.destroy()
    void publish()
  }

  async function publish(): Promise<void> {
    if (!isSubscribed || commands.status !== 'ready') return
    sent += 1
    const number = sent
    try {
      await commands.publish(channel, `${own}${number}`)
      accepted = Math.max(accepted, number)
      setRefused('publish')
    } catch (error) {
      setRefused('publish', error)
    }
  }

  function hear(number: number): void {
    heard = Math.max(heard, number)
    heardAt = performance.now()
  }

  function setRefused(command: 'subscribe' | 'publish', error?: unknown): void {
    if (error && !isNoPermission(error)) return
    refused[command] = error !== undefined
    if (error) refusedUntil = performance.now() + REFUSED_RETRY_MS
    onRefused(refused.subscribe || refused.publish)
  }
}

/**
 * A connection to one of a Cluster's masters: in a Cluster every node hears what is published on any.
 * @returns nothing while no node is known
 */
export function toAnyNode(cluster: Cluster): Redis | undefined {
  const nodes = cluster.nodes('master')
  const node = nodes[Math.floor(Math.random() * nodes.length)]
  // Without a retry: the next connection goes to a node that is there then.
  return node?.duplicate({ retryStrategy: null, enableOfflineQueue: false, lazyConnect: true })
}
