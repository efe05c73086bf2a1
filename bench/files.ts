import { Session } from 'node:inspector/promises'
import { relative, sep } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { startDemo } from '../demo/demo.ts'
import { createHttpBrowser, type HttpBrowser } from '../demo/http-browser.ts'
import { readReference } from '../plugins/session/session-reference.ts'
import { until } from '../test/support/until.ts'
import { withEnding } from './ending.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** How long the demo's access tokens live, in seconds: short, so that the first is soon due for renewal. */
const accessTokenLifetime = 4

/** Long enough for every timer that always runs, and for idle connections to close. */
const idleMs = 6000

/**
 * The gateway's files that run code for one request, by V8's coverage: those that a reader has to open to follow it.
 * Prints them for a warm GET, for a GET that starts a renewal, for a renewal by itself, and for a back-channel logout.
 *
 * Files that run only by timers are left out of the renewal by itself. A request uses most of these files too, so they
 * count there. Files that only define types, or run at the start only, are not counted.
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

    await wait(idleMs)
    const byTimers = await coverage.executed()
    const session = await sessionOf(demo.app, browser)
    await coverage.executed()
    await demo.app.userTokens.forceRenewal(session, 'bench', demo.app.log)
    await demo.app.userTokens.idle()
    const renewal = await coverage.executed()
    report(
      'A renewal by itself',
      renewal.filter((file) => !byTimers.includes(file)),
    )

    // What the renewal leaves to later turns of the event loop is no part of the logout.
    await wait(100)
    await coverage.executed()
    // A user signs out at the issuer's own page: the issuer sends its logout token to the gateway.
    await browser.open(`${demo.issuer.issuer}/session/end`)
    report('A back-channel logout', await coverage.executed())
  })
}

/** The session of the browser's cookie. */
async function sessionOf(app: FastifyInstance, browser: HttpBrowser) {
  const cookie = browser.cookies.get('bff')?.value
  if (cookie === undefined) throw new Error('The browser has no session cookie')
  const content = app.decodeSecureSession(decodeURIComponent(cookie), app.log, 'sealedSession')
  const reference = readReference(content?.data() ?? {})
  const session = reference && (await app.sessions.load(reference))
  if (!session) throw new Error('The session has ended')
  return session
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
