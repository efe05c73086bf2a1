import type { RedisAddress, RedisTarget } from '../../config/index.ts'
import { CHANGED_CHANNEL } from './redis-scripts.ts'
import type { RedisReport } from './redis-state.ts'

interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/**
 * Logs each change of the Redis connection's state.
 * @param onConnected called with whether there is a connection
 */
export function createRedisLog(
  log: Log,
  target: RedisTarget,
  onConnected: (isConnected: boolean) => void,
): RedisReport {
  const redis = placeOf(target)
  let wasRefused = false
  let infoReported = false
  onConnected(false)

  return {
    connected() {
      onConnected(true)
      log.info({ event: 'store.connected', redis }, 'Connected to Redis')
    },
    lost(reason) {
      onConnected(false)
      log.warn({ event: 'store.disconnected', redis, reason }, `The connection to Redis was lost: ${reason}`)
    },
    unreachable(reason) {
      onConnected(false)
      log.warn({ event: 'store.unreachable', redis, reason }, `Redis can not be reached: ${reason}`)
    },
    channelRefused(isRefused) {
      if (isRefused === wasRefused) return
      wasRefused = isRefused
      if (isRefused) log.warn({ event: 'store.channel_refused', redis }, CHANNEL_REFUSED)
      else log.info({ event: 'store.channel_granted', redis }, `Redis grants the channel ${CHANGED_CHANNEL}`)
    },
    infoRefused() {
      if (infoReported) return
      infoReported = true
      log.warn(
        { event: 'store.info_refused', redis },
        'Redis refuses INFO to its user, so a server that is loading or was demoted is used like any other: grant +info',
      )
    },
  }
}

const CHANNEL_REFUSED =
  `Redis refuses the channel ${CHANGED_CHANNEL} to its user. Nothing is lost, but what other instances change is ` +
  `noticed late: grant &${CHANGED_CHANNEL} +publish +subscribe`

/** Hosts and ports, without credentials. */
function placeOf(target: RedisTarget): string {
  switch (target.kind) {
    case 'single':
      return hostAndPort(target.node)
    case 'sentinel':
      return `${target.masterName} of Sentinels ${target.sentinels.map(hostAndPort).join(', ')}`
    case 'cluster':
      return `Cluster ${target.nodes.map(hostAndPort).join(', ')}`
  }
}

function hostAndPort({ host, port }: RedisAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
