import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { findExecutable } from './executables.ts'
import { freePort } from './free-port.ts'

/** A separate real Redis (or Valkey), on a free port of the loopback interface, without persistence. */
export interface RedisServer {
  url: string
  port: number
  /** Sends a command in one line and returns the answer. @throws when that is an error */
  send(command: string): Promise<string>
  /** Shuts it down gracefully. */
  stop(): Promise<void>
  /** Kills it, like a crash. */
  kill(): Promise<void>
  /** Freezes it: connections stay open, nothing answers. */
  pause(): void
  resume(): void
  /** Starts it on the same port, empty, after `stop` or `kill` (or instead of them). */
  restart(): Promise<void>
  /** Ends it finally and removes its folder. */
  close(): Promise<void>
}

export interface RedisServerOptions {
  /** Default: a free port. */
  port?: number
  /** More lines for its configuration file. */
  config?: string[]
  /** Runs as a Sentinel. */
  sentinel?: boolean
  /** Speaks TLS only. */
  tls?: RedisTls
  /** Password of the default user, who otherwise needs none. */
  password?: string
}

/** PEM. */
export interface RedisTls {
  ca: string
  cert: string
  key: string
  /** Clients must have a certificate of the authority, too. */
  clientCertificates?: boolean
}

/** Resolves when it answers. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort())
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-redis-'))
  let server = await spawnServer(port, folder, options)

  const end = async (signal: NodeJS.Signals) => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill(signal)
    await exited
  }

  return {
    url: `redis${options.tls ? 's' : ''}://127.0.0.1:${port}`,
    port,
    send: (command) => send(port, options, command),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),

    async restart() {
      await end('SIGKILL')
      server = await spawnServer(port, folder, options)
    },

    async close() {
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/**
 * A Redis for tests that do not stop it and use only their own keys: the one of `REDIS_URL`, which
 * may hold other data, or one that is started for them.
 */
export async function redisUrl(): Promise<{ url: string; close(): Promise<void> }> {
  const given = process.env['REDIS_URL']
  return given ? { url: given, close: async () => {} } : startRedis()
}

async function spawnServer(
  port: number,
  folder: string,
  { config = [], sentinel = false, tls, password }: RedisServerOptions,
): Promise<ChildProcess> {
  const file = join(folder, 'redis.conf')
  const storage = sentinel ? [] : ['save ""', 'appendonly no']
  const listener = tls ? tlsListener(port, folder, tls) : [`port ${port}`]
  if (password !== undefined) listener.push(`requirepass ${password}`)
  writeFileSync(file, [...listener, 'bind 127.0.0.1', `dir ${folder}`, ...storage, ...config].join('\n'))
  const server = spawn(findServer(), [file, ...(sentinel ? ['--sentinel'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const killWithUs = () => server.kill('SIGKILL')
  process.once('exit', killWithUs)
  server.once('exit', () => process.off('exit', killWithUs))

  await printed(server, sentinel ? /Sentinel ID is/ : /Ready to accept connections/)
  return server
}

function tlsListener(port: number, folder: string, tls: RedisTls): string[] {
  const lines = Object.entries({ 'ca-cert': tls.ca, cert: tls.cert, key: tls.key }).map(([name, pem]) => {
    const file = join(folder, `${name}.pem`)
    writeFileSync(file, pem)
    return `tls-${name}-file ${file}`
  })
  const clients = `tls-auth-clients ${tls.clientCertificates ? 'yes' : 'no'}`
  return ['port 0', `tls-port ${port}`, 'tls-replication yes', clients, ...lines]
}

async function send(port: number, { tls, password }: RedisServerOptions, command: string): Promise<string> {
  const address = { port, host: '127.0.0.1' }
  const socket = tls
    ? connectTls({ ...address, ...tls, checkServerIdentity: () => undefined })
    : connect(address)
  socket.setEncoding('utf8')
  let answer = ''
  for (const each of [...(password === undefined ? [] : [`AUTH ${password}`]), command]) {
    socket.write(`${each}\r\n`)
    answer = String((await once(socket, 'data'))[0])
  }
  socket.destroy()
  if (answer.startsWith('-')) throw new Error(`${command}: ${answer}`)
  return answer
}

function printed(server: ChildProcess, what: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    server.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text
      if (what.test(output)) resolve()
    })
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`Redis ended:\n${output}`)))
  })
}

function findServer(): string {
  const found = findExecutable(['redis-server', 'valkey-server'])
  if (!found)
    throw new Error('Neither redis-server nor valkey-server is on the PATH: apt-get install redis-server')
  return found
}
