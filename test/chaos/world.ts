import { startGateway } from '../support/gateway.ts'
import { startWorldOf, type WorldOptions } from './process-world.ts'

export * from './process-world.ts'

/** As in process-world.ts, with the gateways' logs checked for leaks. */
export const startWorld = (options?: WorldOptions) => startWorldOf(startGateway, options)
