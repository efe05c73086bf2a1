import type { Clock } from '../../plugins/clock.ts'
import type { GatewayOptions } from '../../plugins/config/options.ts'
import type { Limits } from '../../plugins/limits/limits.ts'

export type RouteOptions = GatewayOptions & { clock: Clock } & Pick<
    Limits,
    'requestsPerMinute' | 'refusedCodesPerMinute'
  >
