import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { RedisClient } from '../../plugins/session-store/redis-client.ts'
import { HEARTBEAT_MS, listen } from '../../plugins/session-store/redis-subscription.ts'

const channel = 'bff:changed'

/** As much of a subscriber's connection as is used. */
class Connection extends EventEmitter {
  status = 'ready'
  subscribing: (() => Promise<unknown>)[] = []
  stream = { destroy: () => this.drop() }
  connect = async () => void this.emit('ready')
  disconnect = () => {}
  ping = async () => 'PONG'

  async subscribe(): Promise<unknown> {
    return this.subscribing.shift()?.()
  }

  drop(): void {
    this.status = 'end'
    this.emit('close')
    this.emit('end')
  }
}

/** A subscription whose time is moved by the test. */
function start(t: TestContext, subscribing: (() => Promise<unknown>)[] = []) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const opened: Connection[] = []
  const messages: string[] = []
  let subscribed = 0
  const world = {
    opened,
    messages,
    subscribed: () => subscribed,
    /** Whether published messages arrive. */
    delivers: true,
    async passes(ms: number) {
      for (let i = 0; i < ms / 100; i++) {
        now += 100
        t.mock.timers.tick(100)
        await turn()
      }
    },
  }
  const publish = async (on: string, message: string) => {
    if (world.delivers) opened.at(-1)?.emit('message', on, message)
  }
  const subscription = listen({
    channel,
    commands: { status: 'ready', publish } as unknown as RedisClient,
    open() {
      const connection = new Connection()
      connection.subscribing = subscribing
      opened.push(connection)
      return connection as unknown as Redis
    },
    listener: { onMessage: (message) => void messages.push(message), onSubscribed: () => void subscribed++ },
    onRefused() {},
  })
  t.after(() => subscription.close())
  return world
}

test('a subscription on which two heartbeats in a row do not arrive is replaced, and so is the next one', async (t) => {
  const world = start(t)
  const opened = async (afterMs: number) => {
    await world.passes(afterMs)
    return world.opened.length
  }
  assert.equal(await opened(2 * HEARTBEAT_MS), 1)
  world.delivers = false

  // The first one is only late until the next is due.
  assert.equal(await opened(3 * HEARTBEAT_MS - 100), 1)
  assert.equal(await opened(200), 2)
  assert.equal(await opened(2 * HEARTBEAT_MS - 200), 2)
  assert.equal(await opened(200), 3)

  world.delivers = true
  assert.equal(await opened(10 * HEARTBEAT_MS), 3)
  assert.equal(world.subscribed(), 3)
})

test('heartbeats, own ones and those of other gateways, are no messages', async (t) => {
  const { opened, messages, passes } = start(t)
  await passes(HEARTBEAT_MS)
  for (const message of ['heartbeat of-another 1', 'a session']) opened[0]?.emit('message', channel, message)
  opened[0]?.emit('message', 'another channel', 'no session')
  assert.deepEqual(messages, ['a session'])
})

test('a subscription that is confirmed on a connection already replaced does not count', async (t) => {
  const subscribing: (() => Promise<unknown>)[] = []
  const { opened, subscribed, passes } = start(t, subscribing)
  await passes(100)
  assert.equal(subscribed(), 1)
  const late = Promise.withResolvers<void>()
  const never = new Promise(() => {})
  subscribing.push(
    () => late.promise,
    () => never,
  )
  opened[0]?.drop()
  await passes(100)
  opened[1]?.drop()
  await passes(100)
  assert.equal(opened.length, 3)

  late.resolve()
  await turn()

  assert.equal(subscribed(), 1)
})

test('a refused channel is tried again every 30 s', async (t) => {
  let tries = 0
  const refuse = async () => {
    tries++
    throw new Error('NOPERM this user has no permissions to access the channel')
  }
  const { subscribed, passes } = start(t, [refuse, refuse])
  await passes(29_000)
  assert.deepEqual([tries, subscribed()], [1, 0])
  await passes(2_000)
  assert.deepEqual([tries, subscribed()], [2, 0])
  await passes(31_000)
  assert.equal(subscribed(), 1)
})
