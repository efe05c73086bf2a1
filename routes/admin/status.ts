import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../lib/clock.ts'
import { packageVersion } from '../../lib/version.ts'
import type { Administered } from './index.ts'

export interface AdminStatusOptions {
  gateways: readonly Administered[]
  /** Has what all gateways share. */
  shared: FastifyInstance
  clock: Clock
}

/** How long counting sessions may take, in milliseconds. */
const countingMs = 2000

/** What this process is, and what it depends on. */
export async function status(
  server: FastifyInstance,
  { gateways, shared, clock }: AdminStatusOptions,
): Promise<void> {
  const version = packageVersion() ?? null
  const startedAt = clock.monotonic()

  server.get('/status', { config: { adminEvent: 'admin.status' } }, async () => {
    const isReady = await shared.storeIsReady()
    const frontends = gateways.map(({ publicUrl, issuerUrl, app }) => ({
      publicUrl: publicUrl.href,
      issuer: { url: issuerUrl.href, metadataKnown: app.issuer.isKnown() },
    }))
    return {
      version,
      uptime: Math.floor((clock.monotonic() - startedAt) / 1000),
      store: {
        type: shared.sharedRedis ? 'redis' : 'memory',
        ready: isReady,
        warnings: shared.storeWarnings(),
      },
      issuer: frontends[0]?.issuer ?? null,
      ...(frontends.length > 1 && { frontends }),
      counts: { sessions: isReady ? await countSessions() : null },
    }
  })

  /** Of all gateways that share the store. @returns null if there are too many to count now, or the store fails */
  async function countSessions(): Promise<number | null> {
    const giveUpAt = clock.monotonic() + countingMs
    const ids = new Set<string>()
    try {
      for await (const batch of shared.sessionStore.listAll()) {
        for (const { id } of batch) ids.add(id)
        if (clock.monotonic() > giveUpAt) return null
      }
    } catch {
      return null
    }
    return ids.size
  }
}
