import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { startIssuer } from '../demo/issuer.ts'
import { listen, stop } from '../demo/listen.ts'
import { type Gateway, startGateway } from '../test/support/gateway-process.ts'
import { sampleValue } from '../test/support/samples.ts'
import { withEnding } from './ending.ts'
import { report } from './report.ts'

const megabyte = 1024 * 1024
const bytes = 2048 * megabyte
const chunk = Buffer.alloc(64 * 1024)

/** Sampling interval of the memory, in milliseconds. */
const sampleEveryMs = 50

/**
 * Two gigabytes up and two down, each through a gateway in a separate process. The result is the memory that
 * it uses meanwhile, which should be that of an idle gateway and some buffers.
 */
export async function stream({ json }: { json: boolean }): Promise<void> {
  await withEnding(async (ending) => {
    const api = createServer(async (incoming, response) => {
      if (incoming.method === 'GET') return pipeline(Readable.from(zeros()), response).catch(() => {})
      response.end(String(await sizeOf(incoming)))
    })
    const apiUrl = `http://127.0.0.1:${await listen(api, 0)}`
    ending.after(() => stop(api))
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    ending.after(issuer.close)
    const env = { LOG_LEVEL: 'info', METRICS_PORT: '0' }
    const gateway = await startGateway(ending, { issuer, apiUrl, env })
    const browser = createHttpBrowser()
    await browser.signIn(gateway.url, 'alice')
    const cookie = browser.cookies.headerFor(new URL(gateway.url)) ?? ''

    const idle = await memory(gateway)
    const rows = [await measured(gateway, 'download', idle, () => download(gateway.url, cookie))]
    rows.push(await measured(gateway, 'upload', idle, () => upload(gateway.url, cookie)))
    if (!json) console.log(`${bytes / megabyte} MB each way; the gateway idle: ${megabytes(idle)} MB\n`)
    report(rows, json)
  })
}

async function measured(gateway: Gateway, name: string, idle: number, move: () => Promise<number>) {
  const startedAt = performance.now()
  const done = new AbortController()
  const peak = peakMemory(gateway, done.signal)
  const moved = await move()
  if (moved !== bytes) throw new Error(`${moved} of ${bytes} bytes came through`)
  const seconds = (performance.now() - startedAt) / 1000
  done.abort()
  const most = await peak
  return {
    '': name,
    'MB/s': Math.round(bytes / megabyte / seconds),
    'peak memory, MB': megabytes(most),
    'over idle, MB': megabytes(most - idle),
  }
}

async function download(url: string, cookie: string): Promise<number> {
  const outgoing = request(`${url}/api/zeros`, { headers: { cookie, 'x-csrf': '1' } }).end()
  return sizeOf(await answerTo(outgoing))
}

async function upload(url: string, cookie: string): Promise<number> {
  const headers = { cookie, 'x-csrf': '1', 'content-length': bytes }
  const outgoing = request(`${url}/api/sink`, { method: 'PUT', headers })
  const [answer] = await Promise.all([answerTo(outgoing), pipeline(Readable.from(zeros()), outgoing)])
  return Number((await answer.toArray()).join(''))
}

async function answerTo(outgoing: ReturnType<typeof request>): Promise<IncomingMessage> {
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  if (answer.statusCode !== 200) throw new Error(`Answered ${answer.statusCode}`)
  return answer
}

function* zeros(): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk
}

async function sizeOf(body: IncomingMessage): Promise<number> {
  let size = 0
  const counter = new Writable({
    write(piece: Buffer, _encoding, done) {
      size += piece.length
      done()
    },
  })
  await pipeline(body, counter)
  return size
}

/** The maximum until the signal, in bytes. */
async function peakMemory(gateway: Gateway, signal: AbortSignal): Promise<number> {
  let peak = 0
  while (!signal.aborted) {
    peak = Math.max(peak, await memory(gateway))
    await wait(sampleEveryMs)
  }
  return peak
}

/** The process's resident memory in bytes, from its metrics. */
async function memory(gateway: Gateway): Promise<number> {
  const { msg = '' } = await gateway.logged(({ event }) => event === 'metrics.listening')
  const text = await (await fetch(/http:\S+/.exec(msg)?.[0] ?? '')).text()
  return Number(sampleValue(text, 'process_resident_memory_bytes'))
}

function megabytes(size: number): number {
  return Math.round(size / megabyte)
}
