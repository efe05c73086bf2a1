import { readFile } from 'node:fs/promises'
import type { Server } from 'node:tls'
import fp from 'fastify-plugin'
import { expiryOf, type KeyPair, type TlsOptions } from '../../../config/index.ts'
import type { Clock } from '../../../lib/clock.ts'
import { minTlsVersion } from '../tls-server.ts'
import { type Change, keyPairChanges } from './key-pair-changes.ts'

/** How often the files are looked at, in milliseconds. Events of the file system miss changes behind links. */
export const pollingMs = 10_000

/**
 * Gives the server its certificate, and another when the files change. Connections that are open stay so; a pair
 * that is bad, or only half written yet, is not used, and the old one serves on.
 */
export default fp<TlsOptions & { clock: Clock }>(
  async (app, { certFile, keyFile, clock }) => {
    // Made by createTlsServer.
    const server = app.server as unknown as Server
    const use = (pair: KeyPair) => server.setSecureContext({ ...pair, minVersion: minTlsVersion })
    const nextChange = keyPairChanges(async () => ({
      cert: await readFile(certFile, 'utf8'),
      key: await readFile(keyFile, 'utf8'),
    }))
    const first = await nextChange()
    if (first.is !== 'good') throw new Error(first.is === 'bad' ? first.reason : 'No certificate')
    use(first.pair)

    const closed = new AbortController()
    app.addHook('onClose', async () => closed.abort())
    app.addHook('onListen', async () => void follow())

    async function follow(): Promise<void> {
      for (;;) {
        await clock.sleep(pollingMs, closed.signal)
        if (closed.signal.aborted) return
        reload(await nextChange())
      }
    }

    function reload(change: Change): void {
      if (change.is === 'good') {
        use(change.pair)
        const expiresAt = expiryOf(change.pair.cert)
        app.log.info({ event: 'tls.reloaded', expiresAt }, 'The new certificate serves')
      }
      if (change.is === 'bad') {
        const { reason } = change
        app.log.error({ event: 'tls.reload.failed', reason }, 'The old certificate serves on')
      }
    }
  },
  { name: 'tls', fastify: '5.x' },
)
