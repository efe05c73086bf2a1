import type { Clock } from '../../plugins/clock.ts'
import type { GatewayOptions } from '../../plugins/config/options.ts'

export type RouteOptions = GatewayOptions & { clock: Clock }
