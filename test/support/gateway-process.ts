import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { DemoIssuer } from '../../demo/issuer.ts'
import { freePort } from './free-port.ts'
import { giveUpMs } from './until.ts'

/** server.ts in a separate process, as in production. */
export interface Gateway {
  /** URL of this process. Cookies depend on the host only, so a browser that signed in at one is signed in at all. */
  url: string
  /** The parsed log lines so far, at level trace. */
  logs: LogLine[]
  /** Its whole output so far, on both streams. */
  output(): string
  /** The first log line, past or to come, for which `predicate` holds. Rejects when the process ends without it. */
  logged(predicate: (line: LogLine) => boolean): Promise<LogLine>
  /** Sends a signal, SIGTERM by default, and waits for the exit. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** Sends a signal without waiting. */
  signal(signal: NodeJS.Signals): void
  /** Kills it, like a crash. */
  kill(): Promise<Exit>
  /** Freezes it: connections stay open, nothing answers. */
  pause(): void
  resume(): void
  /** Resolves when it has exited. */
  exited: Promise<Exit>
}

export interface LogLine extends Record<string, unknown> {
  level: number
  event?: string
  msg?: string
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface GatewayOptions {
  /** Registers the gateway as its client. */
  issuer: Pick<DemoIssuer, 'issuer' | 'clientId' | 'clientSecret' | 'allowGateway'> & Partial<DemoIssuer>
  apiUrl: string
  /** Unset: sessions in its own memory. */
  redisUrl?: string
  /** Further or changed variables. Several instances share one `PUBLIC_URL` by setting it here. */
  env?: Environment
}

export type Environment = Record<string, string>

/** The part of a test's context that runs clean-up. */
export interface Ending {
  after(end: () => Promise<unknown>): void
}

/** The same for all instances, so that they open each other's cookies. */
export const sessionKey = Buffer.alloc(32, 'a key for all tests').toString('base64')

/**
 * Starts a gateway on a free port. Resolves when it listens, and ends it with the test.
 * @param onSpawn gets the gateway before it listens, which may never happen
 */
export async function startGateway(
  t: Ending,
  options: GatewayOptions,
  onSpawn: (gateway: Gateway) => void = () => {},
): Promise<Gateway> {
  const { issuer, apiUrl, redisUrl, env = {} } = options
  const port = env['PORT'] ?? String(await freePort())
  const url = `http://localhost:${port}`
  if (env['PUBLIC_URL'] === undefined) issuer.allowGateway(url)

  const gateway = watch(url, {
    PUBLIC_URL: url,
    HOST: '127.0.0.1',
    PORT: port,
    LOG_LEVEL: 'trace',
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    OIDC_SCOPE: 'openid profile email offline_access time:read',
    SESSION_KEYS: sessionKey,
    API_URL: apiUrl,
    SHUTDOWN_DELAY: '0s',
    ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
    ...env,
  })
  onSpawn(gateway)
  t.after(() => end(gateway))
  await gateway.logged(({ msg }) => msg?.startsWith('Server listening') ?? false)
  return gateway
}

export interface Run {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs server.ts in `cwd` with only these variables until it ends by itself, or for a minute. */
export async function runServer(args: string[], env: Environment, cwd?: string): Promise<Run> {
  const server = spawnServer(args, env, cwd)
  const tooLong = setTimeout(() => server.kill('SIGKILL'), giveUpMs)
  const [stdout, stderr] = [collect(server.stdout), collect(server.stderr)]
  await once(server, 'close')
  clearTimeout(tooLong)
  return { code: server.exitCode, stdout: stdout(), stderr: stderr() }
}

/** Starts server.ts without waiting. */
function watch(url: string, env: Environment): Gateway {
  const server = spawnServer([], env)
  const [stdout, stderr] = [collect(server.stdout), collect(server.stderr)]
  const output = () => stdout() + stderr()
  const logs: LogLine[] = []
  const seen = new EventEmitter<{ line: [LogLine] }>().setMaxListeners(0)
  createInterface({ input: server.stdout }).on('line', (text) => {
    const line = parsed(text)
    if (!line) return
    logs.push(line)
    seen.emit('line', line)
  })

  const exited = once(server, 'close').then(() => ({ code: server.exitCode, signal: server.signalCode }))
  const stop = (signal: NodeJS.Signals) => {
    server.kill(signal)
    return exited
  }

  return {
    url,
    logs,
    output,
    exited,
    signal: (signal) => void server.kill(signal),
    stop: (signal = 'SIGTERM') => stop(signal),
    kill: () => stop('SIGKILL'),
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),

    logged(predicate) {
      const { promise, resolve, reject } = Promise.withResolvers<LogLine>()
      // A test that has failed meanwhile does not await it.
      promise.catch(() => {})
      const look = (line: LogLine) => predicate(line) && resolve(line)
      const giveUp = (why: string) => reject(new Error(`${why} without having logged it:\n${output()}`))
      const tooLong = setTimeout(giveUp, giveUpMs, `${giveUpMs} ms went by`)
      logs.forEach(look)
      seen.on('line', look)
      exited.then(() => giveUp('The gateway ended'))
      const done = () => {
        clearTimeout(tooLong)
        seen.off('line', look)
      }
      promise.then(done, done)
      return promise
    },
  }
}

/** Gracefully if possible, as coverage is written only then. */
async function end(gateway: Gateway): Promise<void> {
  const tooLong = setTimeout(gateway.kill, 5000)
  gateway.resume()
  await gateway.stop('SIGINT')
  clearTimeout(tooLong)
}

const root = resolve(import.meta.dirname, '../..')

/** Not in the root folder, where a developer's `.env` would be read. */
function spawnServer(args: string[], env: Environment, cwd = import.meta.dirname) {
  const { PATH = '', NODE_V8_COVERAGE } = process.env
  const server = spawn(process.execPath, [join(root, 'server.ts'), ...args], {
    cwd,
    env: { PATH, ...(NODE_V8_COVERAGE && { NODE_V8_COVERAGE }), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const killWithUs = () => server.kill('SIGKILL')
  process.once('exit', killWithUs)
  server.once('exit', () => process.off('exit', killWithUs))
  return server
}

function collect(stream: ChildProcess['stdout']): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (more) => (text += more))
  return () => text
}

function parsed(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return undefined
  }
}
