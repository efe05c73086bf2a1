import { readFile } from 'node:fs/promises'
import type { Server } from 'node:tls'
import fp from 'fastify-plugin'
import { expiryOf, type KeyPair, type TlsOptions } from '../../../config/index.ts'
import type { Clock } from '../../../lib/clock.ts'
import { minTlsVersion } from '../tls-server.ts'
import { type Change, keyPairChanges } from './key-pair-changes.ts'

/** Polling interval of the files, in milliseconds. File system events miss changes behind symbolic links. */
export const pollingMs = 10_000

/**
 * Sets the server's certificate, and reloads it when the files change. Open connections stay open. An invalid or
 * half-written pair is not used: the server keeps the old one.
 */
export default fp<TlsOptions & { clock: Clock }>(
  async (app, { certFile, keyFile, clock }) => {
    // Created by createTlsServer, while Fastify's type is that of a plain HTTP server.
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
    app.addHook('onListen', async () => void watch())

    async function watch(): Promise<void> {
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
        app.log.info({ event: 'tls.reloaded', expiresAt }, 'Certificate reloaded')
      }
      if (change.is === 'bad') {
        const { reason } = change
        app.log.error(
          { event: 'tls.reload.failed', reason },
          'Certificate reload failed, keeping the old one',
        )
      }
    }
  },
  { name: 'tls', fastify: '5.x' },
)
