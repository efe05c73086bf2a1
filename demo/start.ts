import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { type Demo, DemoPortError, startDemo } from './demo.ts'

const usage = `Usage: npm run demo [-- --check]

  --check   sign in, call the API until the token was renewed twice, sign out, then exit

Ports: DEMO_IDP_PORT (4000), DEMO_API_PORT (5000), PORT (3000)`

const arguments_ = readArguments()
if (arguments_.help) {
  console.log(usage)
  process.exit(0)
}
const demo = await start()
for (const warning of demo.warnings) console.warn(warning)
if (arguments_.check) await checkOnce(demo)
else keepRunning(demo)

function readArguments(): { check: boolean; help: boolean } {
  try {
    const options = {
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    } as const
    return parseArgs({ options }).values
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`)
    process.exit(2)
  }
}

async function start(): Promise<Demo> {
  const { LOG_LEVEL: logLevel } = process.env
  const ports = {
    issuer: port('DEMO_IDP_PORT', 4000),
    timeApi: port('DEMO_API_PORT', 5000),
    gateway: port('PORT', 3000),
  }
  try {
    return await startDemo({ ports, ...(logLevel && { logLevel }) })
  } catch (error) {
    if (!(error instanceof DemoPortError)) throw error
    console.error(error.message)
    process.exit(1)
  }
}

function port(variable: string, usual: number): number {
  const value = process.env[variable]
  if (!value) return usual
  if (/^\d{1,5}$/.test(value) && Number(value) < 65_536) return Number(value)
  console.error(`${variable} is ${value}: it must be a port, from 0 (any free one) to 65535.`)
  process.exit(2)
}

async function checkOnce({ url, close, ...rest }: Demo): Promise<void> {
  const passed = await check({ url, close, ...rest }, { print: console.log })
  console.log(passed ? '\nThe check passed.' : '\nThe check failed.')
  await close()
  process.exit(passed ? 0 : 1)
}

function keepRunning({ url, issuer, timeApi, close }: Demo): void {
  console.log(`
  The demo is at  ${url}

  Log in as alice or bob; the password is the same as the name.
  Access tokens live for 30 s and are renewed from 15 s before they expire.

  Identity provider  ${issuer.issuer}
  Time API           ${timeApi.url}

  Ctrl-C stops all of it.
`)
  const end = async () => {
    setTimeout(() => process.exit(0), 2000).unref()
    await close()
    process.exit(0)
  }
  process.once('SIGINT', end).once('SIGTERM', end)
}
