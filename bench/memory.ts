import { withEnding } from './ending.ts'
import { idleSessionBytes } from './idle-session.ts'
import { openLoad } from './load.ts'
import { startRawApi } from './raw-api.ts'
import { report } from './report.ts'
import { startSubject } from './subject.ts'

const idleSessions = 10_000
const busySessions = 1000
const connections = 64
const requests = { '/small': 20_000, '/large': 3000 } as const
const bodies = { '/small': Buffer.alloc(120, '{"time":0}'), '/large': Buffer.alloc(100 * 1024, '{"time":0}') }

/** What a session takes in a gateway without Redis, and what a gateway takes whose users are all at work. */
export async function memory({ json }: { json: boolean }): Promise<void> {
  const { total, buffers } = await idleSessionBytes(idleSessions)
  const busy = await busyGateway()
  report([{ 'idle session, bytes': total, 'of it Buffers': buffers, ...busy }], json)
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

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}
