import { Cluster, Command, type Redis } from 'ioredis'
import type { RedisConnection } from './redis-connection.ts'

/** Whether what answers for a key has just taken over, or come back. */
export interface RedisMasters {
  /** How long no lock of this key may be taken yet, in milliseconds. */
  headStartMs(key: string): number
}

/**
 * Locks lapse during an outage, though their holders may have got tokens meanwhile that they could not store; and a
 * master that has just been promoted may lack locks and tokens that the old one had. Their holders come first, or a
 * refresh token would be spent twice: for so long a gateway that lost its connection takes no lock. It is what two
 * gateways' connections can be apart in coming back, and a holder's next try.
 */
export const HEAD_START_MS = 3_000

/** @param onMoved is called when keys are on another master, or on one that was out of reach. Waited for where it can be */
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

/** A Cluster client does not say when a slot is on another node, or its node is connected to anew. */
function watchSlots(cluster: Cluster, onMoved: (isMoved: (key: string) => boolean) => Promise<void>) {
  const { slots } = cluster as unknown as { slots: (string[] | undefined)[] }
  const owners: (Redis | undefined)[] = []
  const backSince: number[] = []

  cluster.on('+node', (node: Redis) => {
    node.on('ready', () => cluster.refreshSlotsCache(look))
  })
  cluster.on('refresh', look)

  return {
    /** Now, while it is not yet known where the slot is. */
    backSince(key: string): number {
      const slot = slotOf(key)
      const isMoving = owners[slot] && owners[slot] !== readyNodes().get(slots[slot]?.[0] ?? '')
      return isMoving ? performance.now() : (backSince[slot] ?? Number.NEGATIVE_INFINITY)
    },
  }

  /** Between a MOVED and the refresh after it ioredis takes all slots of the old node for moved. */
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
