import { createHttpBrowser } from '../demo/http-browser.ts'
import { startIssuer } from '../demo/issuer.ts'
import { freePort } from '../test/support/free-port.ts'
import { withEnding } from './ending.ts'
import { openLoad } from './load.ts'
import { startRawApi } from './raw-api.ts'
import { report } from './report.ts'
import { startSubject } from './subject.ts'

const sessions = 10_000
const connections = 64
const logins = 50
const bodies = { '/small': Buffer.alloc(120, '{"time":0}'), '/large': Buffer.alloc(100 * 1024, '{"time":0}') }

/** For how long a gateway's event loop does not turn while it does this or that: other requests wait meanwhile. */
export async function stalls({ json }: { json: boolean }): Promise<void> {
  await withEnding(async ({ after }) => {
    const api = await startRawApi({ bodies, needsToken: true })
    after(api.close)
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    after(issuer.close)
    const port = await freePort()
    issuer.allowGateway(`http://localhost:${port}`)
    const gateway = {
      OIDC_ISSUER: issuer.issuer,
      OIDC_CLIENT_ID: issuer.clientId,
      OIDC_CLIENT_SECRET: issuer.clientSecret,
      SESSION_KEYS: Buffer.alloc(32, 'a key for benchmarks').toString('base64'),
    }
    const settings = { apiUrl: api.url, logLevel: 'warn', gateway, sessions, neverOverloaded: true }
    const server = await startSubject('The gateway', settings, { port })
    after(server.end)
    const load = await openLoad(port, connections, server.cookies)
    after(async () => load.close())
    const ask = (path: keyof typeof bodies, count: number) => load.run(`/api${path}`, bodies[path], count)
    await ask('/small', 3000)

    const rows: object[] = []
    const measure = async (what: string, run: () => Promise<unknown>) => {
      await server.usage()
      await run()
      const { longestStallMs, p99StallMs } = await server.usage()
      rows.push({ '': what, 'p99 ms': p99StallMs.toFixed(1), 'longest ms': longestStallMs.toFixed(1) })
    }
    await measure('120 B answers', () => ask('/small', 20_000))
    await measure('100 KiB answers', () => ask('/large', 4000))
    await measure(`${logins} logins, one after the other`, async () => {
      for (let i = 0; i < logins; i++) await createHttpBrowser().signIn(server.url, 'alice')
    })
    report(rows, json)
  })
}
