import * as processes from './gateway-process.ts'
import { leakWatch } from './leak-watch.ts'

export * from './gateway-process.ts'

/** As in gateway-process.ts, with its log checked for leaks. */
export async function startGateway(
  t: processes.Ending,
  options: processes.GatewayOptions,
): Promise<processes.Gateway> {
  leakWatch.watchIssuer(options.issuer)
  leakWatch.keepSecret(processes.sessionKey, 'SESSION_KEYS')
  return processes.startGateway(t, options, ({ output }) => leakWatch.watchOutput(output))
}
