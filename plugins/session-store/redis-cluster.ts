import type { Redis } from 'ioredis'

/** A range of slots and its nodes: host, port and more. */
type SlotRange = [start: number, end: number, ...nodes: [host: string | null, port: number, ...unknown[]][]]

type ClusterCommand = (subcommand: string, callback: SlotsCallback) => unknown

type SlotsCallback = (error: unknown, ranges?: SlotRange[]) => void

/**
 * Adds missing hosts to a node's reply to CLUSTER SLOTS. The host is empty if a node does not know its own address
 * (in a Cluster with one node) or must not announce it (`cluster-preferred-endpoint-type unknown-endpoint`): it is
 * then the host that was asked. ioredis would ignore such a node.
 * @see https://redis.io/docs/latest/commands/cluster-slots/
 */
export function withHostInSlots(node: Redis): void {
  const duplicate = node.duplicate.bind(node)
  // ioredis sends CLUSTER SLOTS on a separate connection.
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
