import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { startIssuer } from '../demo/issuer.ts'
import { type Gateway, startGateway } from '../test/support/gateway-process.ts'
import { startRedis } from '../test/support/redis.ts'
import { sampleValue } from '../test/support/samples.ts'
import { until } from '../test/support/until.ts'
import { withEnding } from './ending.ts'

const sessions = 500
/** The most that one session may have. */
const streamsEach = 20
const streamCount = sessions * streamsEach
const loginsAtATime = 10
const connectsAtATime = 200

/** What a gateway uses, by its metrics. */
interface Use {
  /** Resident bytes. */
  memory: number
  /** Seconds of CPU so far. */
  cpu: number
}

/**
 * 10,000 open streams of `/bff/events` that have nothing to say, at one gateway with Redis: 500 sessions with 20 streams
 * each. The result is what they cost while they are idle, and how long it takes until all know that their sessions have
 * ended. Needs some 10,000 file descriptors in each of two processes (`ulimit -n`).
 */
export async function streams({ seconds }: { seconds: number }): Promise<void> {
  await withEnding(async (ending) => {
    const redis = await startRedis()
    ending.after(() => redis.close())
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    ending.after(issuer.close)
    const token = randomBytes(32).toString('base64url')
    const env = {
      LOG_LEVEL: 'info',
      METRICS_PORT: '0',
      ADMIN_PORT: '0',
      ADMIN_TOKEN: token,
      SESSION_MAX_PER_USER: String(sessions),
      SHUTDOWN_TIMEOUT: '1s',
    }
    const gateway = await startGateway(ending, {
      issuer,
      apiUrl: 'http://localhost:9',
      redisUrl: redis.url,
      env,
    })
    const cookies = await signIn(gateway)
    const before = await use(gateway)

    const listeners = await openAll(gateway, cookies)
    ending.after(async () => listeners.close())
    await wait(1000 * Math.min(10, seconds))
    const [opened, commandsBefore] = [await use(gateway), await commandsOf(redis)]
    await wait(1000 * seconds)
    const [idle, commandsAfter] = [await use(gateway), await commandsOf(redis)]

    const startedAt = performance.now()
    const answer = await fetch(`${await urlIn(gateway, 'admin.listening')}/sessions/end-all`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"confirm":true}',
    })
    const answeredMs = performance.now() - startedAt
    await until(() => listeners.ended() === streamCount)
    const toldMs = performance.now() - startedAt

    console.log(`${streamCount} streams of ${sessions} sessions; end-all: ${await answer.text()}\n`)
    console.table({
      'memory per stream, KB': ((idle.memory - before.memory) / streamCount / 1024).toFixed(1),
      'memory before and with the streams, MB': `${megabytes(before.memory)} and ${megabytes(idle.memory)}`,
      'CPU while idle, % of a core': ((100 * (idle.cpu - opened.cpu)) / seconds).toFixed(1),
      'Redis commands a second while idle': ((commandsAfter - commandsBefore) / seconds).toFixed(1),
      'all sessions ended after, ms': Math.round(answeredMs),
      'all streams told after, ms': Math.round(toldMs),
    })
  })
}

async function signIn(gateway: Gateway): Promise<string[]> {
  const cookies: string[] = []
  while (cookies.length < sessions) {
    const some = Array.from({ length: loginsAtATime }, async () => {
      const browser = createHttpBrowser()
      await browser.signIn(gateway.url, 'alice')
      return browser.cookies.headerFor(new URL(gateway.url)) ?? ''
    })
    cookies.push(...(await Promise.all(some)))
  }
  return cookies
}

async function openAll(gateway: Gateway, cookies: string[]) {
  const sockets: Socket[] = []
  let ended = 0
  const port = Number(new URL(gateway.url).port)
  const wanted = cookies.flatMap((cookie) => Array<string>(streamsEach).fill(cookie))
  for (let i = 0; i < wanted.length; i += connectsAtATime)
    sockets.push(...(await Promise.all(wanted.slice(i, i + connectsAtATime).map(open))))

  return {
    ended: () => ended,
    close() {
      for (const socket of sockets) socket.destroy()
    },
  }

  async function open(cookie: string): Promise<Socket> {
    const socket = connect(port, 'localhost')
    await once(socket, 'connect')
    socket.write(
      `GET /bff/events HTTP/1.1\r\nHost: localhost:${port}\r\nCookie: ${cookie}\r\nX-CSRF: 1\r\n\r\n`,
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    if (!answer.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error(answer.toString())
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => {
      if (data.includes('event: ended')) ended++
    })
    return socket
  }
}

async function use(gateway: Gateway): Promise<Use> {
  const text = await (await fetch(await urlIn(gateway, 'metrics.listening'))).text()
  return {
    memory: Number(sampleValue(text, 'process_resident_memory_bytes')),
    cpu: Number(sampleValue(text, 'process_cpu_seconds_total')),
  }
}

async function urlIn(gateway: Gateway, wanted: string): Promise<string> {
  const { msg = '' } = await gateway.logged(({ event }) => event === wanted)
  return /http:\S+/.exec(msg)?.[0] ?? ''
}

/** Commands that Redis has processed so far. */
async function commandsOf(redis: { send(command: string): Promise<string> }): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(await redis.send('INFO stats'))?.[1])
}

function megabytes(size: number): number {
  return Math.round(size / 1024 / 1024)
}
