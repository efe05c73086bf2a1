import type { RedisAddress, RedisTarget } from '../../config/index.ts'
import type { Metrics } from '../observability/metrics.ts'
import { CHANGED_CHANNEL } from './redis-keys.ts'
import type { RedisReport } from './redis-state.ts'

/** How often a lasting fault is logged again. */
const REMIND_MS = 10 * 60_000

/** How long Redis counts as read-only after it has refused a write, if its user may not ask for its role. */
const READ_ONLY_MS = 60_000

interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Logs each change of the Redis connection's state, and records its metrics. */
export function createRedisLog(
  log: Log,
  target: RedisTarget,
  metrics: Pick<Metrics, 'redisConnected' | 'storeAnswered'>,
  now = () => performance.now(),
): RedisReport {
  const redis = placeOf(target)
  const onConnected = metrics.redisConnected
  /** When Redis was last seen to be read-only. Each write then closes the connection, which is not logged. */
  let readOnlyAt = Number.NEGATIVE_INFINITY
  let readOnlyLoggedAt = Number.NEGATIVE_INFINITY
  const isReadOnly = () => now() - readOnlyAt < READ_ONLY_MS
  let wasRefused = false
  let infoReported = false
  onConnected(false)

  return {
    connected(isMaster) {
      onConnected(true)
      if (isReadOnly() && !isMaster) return
      readOnlyAt = Number.NEGATIVE_INFINITY
      log.info({ event: 'store.connected', redis }, 'Connected to Redis')
    },
    readOnly() {
      onConnected(false)
      const wasReadOnly = isReadOnly()
      readOnlyAt = now()
      if (wasReadOnly && now() - readOnlyLoggedAt < REMIND_MS) return
      readOnlyLoggedAt = now()
      log.warn(
        { event: 'store.read_only', redis },
        'Redis is a replica and refuses writes: no session can be stored or renewed until there is a connection to a master',
      )
    },
    lost(reason) {
      onConnected(false)
      if (isReadOnly()) return
      log.warn({ event: 'store.disconnected', redis, reason }, `The connection to Redis was lost: ${reason}`)
    },
    unreachable(reason) {
      onConnected(false)
      readOnlyAt = Number.NEGATIVE_INFINITY
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
    putBack(tries) {
      for (const { outcome, durationMs } of tries) metrics.storeAnswered('putBack', outcome, durationMs)
      const refused = tries.filter(({ outcome }) => outcome === 'error')
      if (refused.length === 0) return
      log.warn(
        { event: 'store.put_back_refused', redis, writes: refused.length, err: refused[0]?.error },
        'Redis refuses to store again what may have been lost in a failover: users may have to log in again',
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
