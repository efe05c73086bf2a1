import { type Demo, type DemoOptions, startDemo as start } from '../../demo/demo.ts'
import { freePort } from './free-port.ts'
import { leakWatch } from './leak-watch.ts'

/** The demo on free ports, its log watched at level trace. */
export async function startDemo(options: Partial<DemoOptions> = {}): Promise<Demo> {
  const ports = { issuer: 0, timeApi: 0, gateway: await freePort() }
  const demo = await start({ ports, logLevel: 'trace', logStream: leakWatch.watchedStream(), ...options })
  leakWatch.watchIssuer(demo.issuer)
  return demo
}
