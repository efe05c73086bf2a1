#!/usr/bin/env node
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { sessionsCommand } from './cli/sessions.ts'
import {
  ConfigurationError,
  describeConfig,
  type GatewayOptions,
  type LoadedConfig,
  loadConfig,
} from './config/index.ts'
import { buildFrontends } from './frontends.ts'
import { systemClock } from './lib/clock.ts'
import { startTraces } from './plugins/observability/tracing/start.ts'
import { PrivatePortError } from './plugins/private-port/index.ts'

const usage = `Usage: fastify-bff [--check-config]      (from a clone: npm start -- --check-config)
       fastify-bff sessions --help

Starts the gateway, configured by environment variables, .env and CONFIG_FILE.

  --check-config   validate the configuration, print it with its secrets masked, and exit with 0 or 2
  sessions         list and end sessions of users, at a running gateway with ADMIN_PORT`

/** How long a shutdown waits for a renewal's tokens after it has aborted all requests, in milliseconds. */
const lastTokensMs = 1000

if (process.argv[2] === 'sessions') {
  readEnvFile()
  const output = { out: console.log, err: console.error }
  process.exit(await sessionsCommand(process.argv.slice(3), process.env, output))
}
const { checkConfig, help } = readArguments()
if (help) {
  console.log(usage)
  process.exit(0)
}
readEnvFile()
const { options, frontends, warnings } = loadOrExit()
if (checkConfig) {
  for (const warning of warnings) console.error(`Warning: ${warning}`)
  console.log((frontends ?? [options]).map((each) => describeConfig(each)).join('\n\n'))
  process.exit(0)
}
await serve({ options, warnings, ...(frontends && { frontends }) })

function readArguments(): { checkConfig: boolean; help: boolean } {
  try {
    const known = {
      'check-config': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    } as const
    const { values } = parseArgs({ options: known })
    return { checkConfig: values['check-config'], help: values.help }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`)
    process.exit(2)
  }
}

/** Reads `.env`, if there is one. Variables that are already set take precedence. */
function readEnvFile(): void {
  try {
    process.loadEnvFile()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
}

function loadOrExit(): LoadedConfig {
  try {
    return loadConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    console.error(error.message)
    process.exit(2)
  }
}

async function serve({ options, frontends, warnings }: LoadedConfig): Promise<void> {
  const { host, port, shutdown } = options
  const { traces, warnings: ofTraces } = await startTraces(process.env)
  const app = frontends ? buildFrontends(frontends) : buildApp(options)
  for (const warning of [...warnings, ...ofTraces]) app.log.warn(warning)
  traces?.logTo(app.log)

  closeWithGrace({ delay: false, logger: app.log }, async ({ signal, err }) => {
    if (err) app.log.fatal({ err }, 'Uncaught error')
    else app.log.info({ event: 'shutdown.begun', signal })
    await shutDown(app, { ...shutdown, ...(signal !== 'SIGTERM' && { delayMs: 0 }) })
    await traces?.shutdown()
    app.log.info({ event: 'shutdown.done' })
  })

  try {
    await app.listen({ host, port })
  } catch (err) {
    const why = err instanceof PrivatePortError ? err.message : `Can't listen on ${host}, port ${port}`
    app.log.fatal({ err }, why)
    process.exit(1)
  }
}

/** Fails the readiness probe first, then waits for open requests, then aborts what is left. */
async function shutDown(
  app: FastifyInstance,
  { delayMs, timeoutMs }: GatewayOptions['shutdown'],
): Promise<void> {
  app.draining.begin()
  await systemClock.sleep(delayMs)
  const closed = app.close()
  await Promise.race([closed, systemClock.sleep(timeoutMs)])
  app.draining.cutOff()
  // Without requests, closing can only wait for a renewal whose tokens are about to be stored.
  await Promise.race([closed, systemClock.sleep(lastTokensMs)])
}
