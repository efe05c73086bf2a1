import { Cluster, Command, type Redis } from 'ioredis'
import type { RedisConnection } from './redis-connection.ts'

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
