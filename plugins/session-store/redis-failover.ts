import { Cluster, Command, type Redis } from 'ioredis'
import type { RedisClient } from './redis-client.ts'
import { isPassing, withoutArguments } from './redis-commands.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { PutBackTry } from './redis-state.ts'

/**
 * Recent writes of this process. A promoted replica may lack them although they were acknowledged: the old master
 * continues to answer for a while, or had not yet replicated its last writes.
 */
export interface RecentWrites {
  /**
   * @param key the Redis key. A later write to it replaces the noted one
   * @param again repeats the write if it is missing. Must do no harm if it is not, or if others have written since
   */
  note(key: string, again: PutBack): void
  /**
   * The connection was lost. Until a put-back succeeds, `note` drops no earlier write for its age; `putBack` drops
   * those older than {@link PUT_BACK_WITHIN_MS}.
   */
  lost(): void
  /** Repeats the writes to keys that are now on another master. Resolves when all were tried. */
  putBack(redis: RedisClient, isMoved?: (key: string) => boolean): Promise<void>
}

/** @param agedMs time since the write, in milliseconds */
export type PutBack = (redis: RedisClient, agedMs: number) => Promise<unknown>

interface Write {
  at: number
  again: PutBack
}

/** Longer than an old master continues to answer after a failover, which is some 12 s. */
const REMEMBERED_MS = 20_000
/**
 * Writes older than this are never put back, however long the outage. The end of a session is remembered for twice as
 * long, so that no ended session is restored.
 */
export const PUT_BACK_WITHIN_MS = 60_000
/** Maximum number of noted writes: some 25 MB of sealed records. */
const MAX_REMEMBERED = 10_000

export interface RecentWritesOptions {
  /** Monotonic time in milliseconds. */
  now?: () => number
  /** Called after each attempt to put writes back. */
  onTried?: (tries: PutBackTry[]) => void
}

export function createRecentWrites({
  now = () => performance.now(),
  onTried = () => {},
}: RecentWritesOptions = {}): RecentWrites {
  /** The oldest first. */
  const writes = new Map<string, Write>()
  let lostAt: number | undefined

  return {
    note(key, again) {
      writes.delete(key)
      writes.set(key, { at: now(), again })
      if (lostAt === undefined) forgetBefore(now() - REMEMBERED_MS)
      for (const [oldest] of writes) {
        if (writes.size <= MAX_REMEMBERED) break
        writes.delete(oldest)
      }
    },

    lost() {
      lostAt ??= now()
    },

    async putBack(redis, isMoved = () => true) {
      // Not only writes from shortly before `lost()`: a process that was frozen calls it late.
      forgetBefore(now() - PUT_BACK_WITHIN_MS)
      const moved = [...writes].filter(([key]) => isMoved(key))
      const tries = await Promise.all(moved.map(([, write]) => tryAgain(redis, write)))
      // A failed write is retried after the next reconnect (the connection was lost); one that Redis refuses is not.
      if (!tries.some(({ outcome }) => outcome === 'unavailable')) lostAt = undefined
      onTried(tries)
    },
  }

  async function tryAgain(redis: RedisClient, { at, again }: Write): Promise<PutBackTry> {
    const startedAt = now()
    const tried = (outcome: PutBackTry['outcome'], error?: unknown) => ({
      outcome,
      durationMs: now() - startedAt,
      error: withoutArguments(error),
    })
    return again(redis, startedAt - at).then(
      () => tried('ok'),
      (error) => tried(isPassing(error) ? 'unavailable' : 'error', error),
    )
  }

  function forgetBefore(time: number): void {
    for (const [key, { at }] of writes) {
      if (at >= time) break
      writes.delete(key)
    }
  }
}

/** Whether the master of a key was just promoted or has just come back. */
export interface RedisMasters {
  /** Remaining time during which no lock of this key may be taken, in milliseconds. */
  headStartMs(key: string): number
}

/**
 * Head start of earlier lock holders. Locks expire during an outage, although their holders may have received tokens
 * that they could not store, and a newly promoted master may lack locks and tokens of the old one. If another gateway
 * took the lock before these are restored, a refresh token would be spent twice. So a gateway that lost its connection
 * takes no lock for this time, which covers the difference between two gateways' reconnects and a holder's next retry.
 */
export const HEAD_START_MS = 3_000

/** @param onMoved called when keys are on another master, or on one that was unreachable. Awaited where possible */
export function watchMasters(
  { client, reachability }: RedisConnection,
  onMoved: (isMoved: (key: string) => boolean) => Promise<void>,
): RedisMasters {
  reachability.beforeReady(() => onMoved(() => true))
  const slots = client instanceof Cluster ? watchSlots(client, onMoved) : undefined

  return {
    headStartMs(key) {
      const backSince = Math.max(reachability.backSince, slots?.backSince(key) ?? Number.NEGATIVE_INFINITY)
      return Math.max(0, backSince + HEAD_START_MS - performance.now())
    },
  }
}

/** A Cluster client does not report that a slot has moved or that its node was reconnected. */
function watchSlots(cluster: Cluster, onMoved: (isMoved: (key: string) => boolean) => Promise<void>) {
  // In the types a slot is never unset, but it is until the client knows the Cluster.
  const { slots } = cluster as unknown as { slots: (string[] | undefined)[] }
  const owners: (Redis | undefined)[] = []
  const backSince: number[] = []

  cluster.on('+node', (node: Redis) => {
    node.on('ready', () => cluster.refreshSlotsCache(look))
  })
  cluster.on('refresh', look)

  return {
    /** Now, if the slot's node is not yet known. */
    backSince(key: string): number {
      const slot = slotOf(key)
      const isMoving = owners[slot] && owners[slot] !== readyNodes().get(slots[slot]?.[0] ?? '')
      return isMoving ? performance.now() : (backSince[slot] ?? Number.NEGATIVE_INFINITY)
    },
  }

  /** Between a MOVED and the following refresh, ioredis treats all slots of the old node as moved. */
  function look(): void {
    const ready = readyNodes()
    const moved = new Set<number>()
    for (let slot = 0; slot < slots.length; slot++) {
      const owner = ready.get(slots[slot]?.[0] ?? '')
      if (!owner || owner === owners[slot]) continue
      if (owners[slot]) moved.add(slot)
      owners[slot] = owner
    }
    if (moved.size === 0) return
    for (const slot of moved) backSince[slot] = performance.now()
    void onMoved((key) => moved.has(slotOf(key)))
  }

  function readyNodes(): Map<string, Redis> {
    const masters = cluster.nodes('master').filter(({ status }) => status === 'ready')
    return new Map(masters.map((node) => [`${node.options.host}:${node.options.port}`, node]))
  }
}

function slotOf(key: string): number {
  return new Command('get', [key]).getSlot() ?? 0
}
