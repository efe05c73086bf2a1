import type { Cluster, Redis } from 'ioredis'
import { isNoPermission, type RedisClient } from './redis-client.ts'

export interface SubscriptionListener {
  onMessage(message: string): void
  /** Called when the subscription starts or restarts: earlier messages may have been missed. */
  onSubscribed(): void
}

export interface SubscriptionOptions {
  channel: string
  /** Publishes a heartbeat message. */
  commands: RedisClient
  /** Creates a new connection, not yet started. Undefined: not possible now. */
  open(): Redis | undefined
  listener: SubscriptionListener
  /** Called when Redis refuses the channel to this user, and when it no longer does. */
  onRefused(isRefused: boolean): void
}

export interface Subscription {
  /** Whether what was published in the last two seconds is known to arrive here. */
  isHealthy(): boolean
  close(): void
}

/** Interval of pings on each connection, and of heartbeat messages. */
export const HEARTBEAT_MS = 1_000

/** Maximum age of the last heartbeat message received: one interval plus a tolerance. */
const HEALTHY_MS = 2_000

/** Number of consecutive heartbeat messages that Redis has accepted but that did not arrive. */
const MAX_LOST_HEARTBEATS = 2

const REOPEN_MS = 100

/** Pause before a refused channel is tried again: permissions can be granted at runtime. */
const REFUSED_RETRY_MS = 30_000

/** Prefix of heartbeat messages. Session identifiers never contain a space. */
const HEARTBEAT_PREFIX = 'heartbeat '

/**
 * Subscribes to a channel on a separate connection. Replaces the connection if it is lost or if messages don't arrive,
 * for example because its server was demoted from master or is no longer in the Cluster.
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
    // Errors are reported for the command connection.
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
    if (unheard >= MAX_LOST_HEARTBEATS) connection?.stream.destroy()
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
 * A connection to one of a Cluster's masters: in a Cluster a message is delivered on every node.
 * @returns undefined while no node is known
 */
export function toAnyNode(cluster: Cluster): Redis | undefined {
  const nodes = cluster.nodes('master')
  const node = nodes[Math.floor(Math.random() * nodes.length)]
  // No retry: the next connection chooses a node that is available then.
  return node?.duplicate({ retryStrategy: null, enableOfflineQueue: false, lazyConnect: true })
}
