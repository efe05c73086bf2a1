import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../lib/clock.ts'
import { createSessions } from '../plugins/session/sessions.ts'
import { createMemoryStore } from '../plugins/session-store/memory.ts'
import { withEnding } from './ending.ts'
import { openLoad } from './load.ts'
import { startRawApi } from './raw-api.ts'
import { report } from './report.ts'
import { newLogin } from './sessions.ts'
import { startSubject } from './subject.ts'

const idleSessions = 10_000
const busySessions = 1000
const connections = 64
const requests = { '/small': 20_000, '/large': 3000 } as const
const bodies = { '/small': Buffer.alloc(120, '{"time":0}'), '/large': Buffer.alloc(100 * 1024, '{"time":0}') }

/** What a session takes in a gateway without Redis, and what a gateway takes whose users are all at work. */
export async function memory({ json }: { json: boolean }): Promise<void> {
  const idle = await idleSession()
  const busy = await busyGateway()
  report([{ ...idle, ...busy }], json)
}

/** Bytes of memory for each session that nobody uses. The rest of the process is idle, too. */
async function idleSession() {
  const sessions = createSessions({
    store: createMemoryStore({ clock: systemClock }),
    clock: systemClock,
    clientId: 'bench',
    idleTimeoutMs: 3_600_000,
    lifetimeMs: 28_800_000,
  })
  const begin = async () => {
    for (let user = 0; user < idleSessions; user++) await sessions.create(newLogin(user))
  }
  // The first ones bring compiled code and the like, and maps grow in steps.
  await begin()
  const before = await used()
  await begin()
  const after = await used()
  const each = (bytes: number) => Math.round(bytes / idleSessions)
  return {
    'idle session, bytes': each(after.heap + after.buffers - before.heap - before.buffers),
    'of it Buffers': each(after.buffers - before.buffers),
  }
}

/** All sessions are in use, over as many connections as in the other benchmarks. */
async function busyGateway() {
  return withEnding(async ({ after }) => {
    const api = await startRawApi({ bodies, needsToken: true })
    after(api.close)
    const server = await startSubject('The gateway', {
      apiUrl: api.url,
      logLevel: 'warn',
      sessions: busySessions,
      neverOverloaded: true,
      // Its issuer is never asked.
      gateway: {
        OIDC_ISSUER: 'http://localhost:9',
        OIDC_CLIENT_ID: 'bench',
        OIDC_CLIENT_SECRET: 'bench',
        SESSION_KEYS: Buffer.alloc(32, 'a key for benchmarks').toString('base64'),
      },
    })
    after(server.end)
    const { rss: idle } = await server.usage()
    const load = await openLoad(server.port, connections, server.cookies)
    after(async () => load.close())
    for (const [path, count] of Object.entries(requests))
      await load.run(`/api${path}`, bodies[path as keyof typeof bodies], count)
    const { rss, peakRss } = await server.usage()
    if (api.refused() > 0) throw new Error('The gateway sent requests without a token')
    return {
      [`RSS with ${busySessions} sessions, idle, MB`]: megabytes(idle),
      'after load, MB': megabytes(rss),
      'peak, MB': megabytes(peakRss),
    }
  })
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** After several collections: one leaves code that was used lately, and what finalizers are to free. */
async function used() {
  for (let i = 0; i < 8; i++) {
    collectGarbage()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return { heap: heapUsed, buffers: external }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}
