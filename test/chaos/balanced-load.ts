import { Agent, get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { Gateway } from '../support/gateway-process.ts'
import type { SignedIn } from './process-world.ts'

export interface LoadAnswer {
  session: SignedIn
  /** Undefined: lost. */
  status: number | undefined
  /** Code of the answer, or the reason why it was lost. */
  body: string
  tookMs: number
}

/** Clients that keep their connections, behind a load balancer that checks `/readyz`. */
export interface Load {
  /** From now on these gateways share the load, once they are ready. */
  spreadOver(gateways: Gateway[]): void
  answers: LoadAnswer[]
  /** Resolves when that many more requests have been answered. */
  more(count: number): Promise<void>
  /** Stops, after every request under way has ended. */
  stop(): Promise<void>
}

export interface Pace {
  clientsPerSession?: number
  /** How long each client waits between an answer and its next request, in milliseconds. */
  requestEveryMs?: number
}

const probeEveryMs = 50
const lookEveryMs = 15

/** Without retries: a request to a closed port is lost. */
export function startLoad(sessions: SignedIn[], first: Gateway[], pace: Pace = {}): Load {
  const { clientsPerSession = 3, requestEveryMs = 15 } = pace
  const answers: LoadAnswer[] = []
  const agent = new Agent({ keepAlive: true })
  let gateways = first
  const ready = new Set<Gateway>()
  let turn = 0
  let stopped = false

  const running = [
    probe(),
    ...sessions.flatMap((session) => Array.from({ length: clientsPerSession }, () => client(session))),
  ]

  return {
    answers,
    spreadOver(others) {
      gateways = others
    },
    async more(count) {
      const enough = answers.length + count
      while (answers.length < enough) await wait(lookEveryMs)
    },
    async stop() {
      stopped = true
      await Promise.all(running)
      agent.destroy()
    },
  }

  async function probe(): Promise<void> {
    while (!stopped) {
      await Promise.all(
        gateways.map(async (gateway) => {
          // Each result is used at once, so that a slow gateway does not delay the others.
          if (await isReady(gateway)) ready.add(gateway)
          else ready.delete(gateway)
        }),
      )
      await wait(probeEveryMs)
    }
  }

  async function client(session: SignedIn): Promise<void> {
    while (!stopped) {
      const choice = gateways.filter((gateway) => ready.has(gateway))
      const gateway = choice[turn++ % choice.length]
      if (gateway) answers.push(await send(session, gateway))
      await wait(requestEveryMs)
    }
  }

  async function send(session: SignedIn, { url }: Gateway): Promise<LoadAnswer> {
    const target = new URL('/api/gettime', url)
    const cookie = session.browser.cookies.headerFor(target) ?? ''
    const startedAt = performance.now()
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; body: string }>()
    const headers = { 'x-csrf': '1', 'sec-fetch-site': 'same-origin', cookie }
    const request = get(target, { agent, headers }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => (body += text))
      response.once('error', reject).once('end', () => resolve({ status: response.statusCode, body }))
    }).once('error', reject)
    const answer = await promise.catch((error: Error) => {
      const connection = request.reusedSocket ? 'a connection that was kept' : 'a new connection'
      return { status: undefined, body: `${error.message}, on ${connection}` }
    })
    return { session, ...answer, tookMs: Math.round(performance.now() - startedAt) }
  }
}

async function isReady({ url }: Gateway): Promise<boolean> {
  const connection = { connection: 'close' }
  return fetch(`${url}/readyz`, { headers: connection }).then(
    ({ ok }) => ok,
    () => false,
  )
}
