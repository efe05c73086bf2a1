import type { GatewayOptions } from '../../config/index.ts'
import type { Clock } from '../../plugins/clock.ts'
import type { Limits } from '../../plugins/limits/limits.ts'

export type RouteOptions = GatewayOptions & { clock: Clock } & Pick<
    Limits,
    'requestsPerMinute' | 'refusedCodesPerMinute'
  >
