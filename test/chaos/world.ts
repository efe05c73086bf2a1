import { startGateway } from '../support/gateway.ts'
import { startWorldOf, type WorldOptions } from './process-world.ts'

export * from './process-world.ts'

/** As in process-world.ts, in a test. What the gateways log is watched. */
export const startWorld = (options?: WorldOptions) => startWorldOf(startGateway, options)
