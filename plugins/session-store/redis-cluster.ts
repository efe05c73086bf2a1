import type { Redis } from 'ioredis'

/** A range of slots, and the nodes that have it: host, port and more. */
type SlotRange = [start: number, end: number, ...nodes: [host: string | null, port: number, ...unknown[]][]]

type ClusterCommand = (subcommand: string, callback: SlotsCallback) => unknown

type SlotsCallback = (error: unknown, ranges?: SlotRange[]) => void

/**
 * Lets a node's answer to CLUSTER SLOTS name a host for each node. It names none where a node does not know its own
 * address (of a Cluster with one node), or is told not to say it (`cluster-preferred-endpoint-type unknown-endpoint`):
 * then it is the one that was asked. ioredis would leave such a node out.
 * @see https://redis.io/docs/latest/commands/cluster-slots/
 */
export function withHostInSlots(node: Redis): void {
  const duplicate = node.duplicate.bind(node)
  // ioredis asks on a connection of its own.
  node.duplicate = (options) => {
    const copy = duplicate(options)
    const command = copy.cluster.bind(copy) as unknown as ClusterCommand
    const named: ClusterCommand = (subcommand, callback) =>
      command(subcommand, (error, ranges) => callback(error, ranges && nameHosts(ranges, node.options.host)))
    copy.cluster = named as unknown as typeof copy.cluster
    return copy
  }
}

function nameHosts(ranges: SlotRange[], host = ''): SlotRange[] {
  for (const [, , ...nodes] of ranges) for (const node of nodes) node[0] ||= host
  return ranges
}
