import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startApplication } from '../plugin/support.ts'
import { startUpstream } from '../proxy/support.ts'

for (const trustProxy of [false, true, '10.0.0.0/8']) {
  test(`a client without an address, at a UNIX socket, is served: trustProxy ${trustProxy}`, async (t) => {
    const upstream = await startUpstream(t)
    const { app } = await startApplication(t, {
      bff: { upstreams: [{ prefix: '/api', target: upstream.url, token: 'none' }] },
      server: { trustProxy },
    })
    const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-socket-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const socketPath = join(folder, 'gateway.sock')
    await app.listen({ path: socketPath })
    const status = async (path: string, headers = {}) => {
      const own = { host: 'localhost:3000', 'x-csrf': '1', 'x-forwarded-host': 'localhost:3000' }
      const outgoing = request({ socketPath, path, agent: false, headers: { ...own, ...headers } }).end()
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
      answer.resume()
      return answer.statusCode
    }

    for (const headers of [{}, { 'x-forwarded-for': 'unknown, 192.0.2.1' }]) {
      assert.equal(await status('/bff/login', headers), 302)
      assert.equal(await status('/bff/callback', headers), 400)
      assert.equal(await status('/bff/session', headers), 200)
      assert.equal(await status('/api/x', headers), 200)
    }
    for (const { headers } of upstream.arrivals)
      assert.doesNotMatch(`${headers['x-forwarded-for']}`, /unknown|^$/)
  })
}
