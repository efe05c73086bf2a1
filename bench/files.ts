import { Session } from 'node:inspector/promises'
import { relative, sep } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startDemo } from '../demo/demo.ts'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { until } from '../test/support/until.ts'
import { withEnding } from './ending.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** How long the demo's access tokens live, in seconds: short, so that the first is soon due for renewal. */
const accessTokenLifetime = 4

/**
 * The gateway's files that run code for one request, by V8's coverage: those that a reader has to open to follow it.
 * Prints them for a warm GET, for a GET that starts a renewal, and for a back-channel logout.
 */
export async function files(): Promise<void> {
  await withEnding(async ({ after }) => {
    let renewals = 0
    const demo = await startDemo({
      ports: { issuer: 0, timeApi: 0, gateway: 0 },
      accessTokenLifetime,
      logLevel: 'debug',
      logStream: {
        write(line) {
          if (line.includes('token.renewal.done')) renewals++
        },
      },
    })
    after(() => demo.close())
    const coverage = await startCoverage()
    after(() => coverage.stop())
    const browser = createHttpBrowser()
    const call = () => browser.fetch(`${demo.url}/api/gettime`, { headers: { 'x-csrf': '1' } })

    await browser.signIn(demo.url, 'alice')
    await call()
    await coverage.executed()
    await call()
    report('A warm GET', await coverage.executed())

    // More than half of the token's lifetime: inside the window.
    await wait(accessTokenLifetime * 600)
    await call()
    await until(() => renewals > 0)
    report('A GET and the renewal it starts', await coverage.executed())

    // A user signs out at the issuer's own page: the issuer sends its logout token to the gateway.
    await browser.open(`${demo.issuer.issuer}/session/end`)
    report('A back-channel logout', await coverage.executed())
  })
}

async function startCoverage() {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  return {
    /** The gateway's files in which a function was called since the last call of this function. */
    async executed(): Promise<string[]> {
      const { result } = await session.post('Profiler.takePreciseCoverage')
      return result
        .filter(({ functions }) => functions.some(({ ranges: [range] }) => (range?.count ?? 0) > 0))
        .map(({ url }) => (url.startsWith('file:') ? relative(root, fileURLToPath(url)) : ''))
        .filter(isGateways)
        .sort()
    },
    async stop() {
      await session.post('Profiler.stopPreciseCoverage')
      session.disconnect()
    },
  }
}

function isGateways(file: string): boolean {
  const [folder = ''] = file.split(sep)
  return file.endsWith('.ts') && !['..', 'node_modules', 'demo', 'test', 'bench'].includes(folder)
}

function report(what: string, executed: string[]): void {
  console.log(`${what}: ${executed.length} files`)
  for (const file of executed) console.log(`  ${file}`)
}
