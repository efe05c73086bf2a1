import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { type TestContext, test } from 'node:test'
import { listen, stop } from '../../demo/listen.ts'
import { freePort } from '../support/free-port.ts'
import { startHaproxy } from '../support/haproxy.ts'
import { until } from '../support/until.ts'

/** Imitates gateways that are killed during a request: below `/die` all, at `/die/once` only the first. */
async function startGateways(t: TestContext) {
  const requests: string[] = []
  const ports: number[] = []
  for (let i = 0; i < 2; i++) {
    const server = createServer((incoming, response) => {
      const { method, url = '', socket } = incoming
      if (url === '/readyz') return void response.end()
      requests.push(`${method} ${url}`)
      const dies = url.startsWith('/die/once') ? requests.length === 1 : url.includes('/die')
      incoming.resume().once('end', () => {
        if (dies) socket.resetAndDestroy()
        else response.end('ok')
      })
    })
    ports.push(await listen(server, 0))
    t.after(() => stop(server))
  }
  return { requests, ports }
}

/** The load balancer of compose.yaml, in front of two gateways. */
async function startBalancer(t: TestContext) {
  const { requests, ports } = await startGateways(t)
  const port = await freePort()
  const balancer = startHaproxy(port, ports)
  t.after(balancer.close)

  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const call = async (method: string, path: string) => {
    const outgoing = request({ port, host: '127.0.0.1', method, path, agent })
    outgoing.end(method === 'POST' ? 'body' : undefined)
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    const text = Buffer.concat(await incoming.toArray()).toString()
    return {
      status: incoming.statusCode,
      text,
      type: incoming.headers['content-type'],
      reused: outgoing.reusedSocket,
    }
  }
  await until(async () => (await call('GET', '/').catch(() => undefined))?.status === 200)
  return {
    /** A request on a connection used before. @returns also what the gateways got of it */
    async call(method: string, path: string) {
      await call('GET', '/')
      requests.length = 0
      return { ...(await call(method, path)), requests: [...requests] }
    },
  }
}

test('if a gateway dies during a request the browser gets JSON, also on a connection used before', async (t) => {
  const balancer = await startBalancer(t)
  for (const method of ['POST', 'DELETE']) {
    const answer = await balancer.call(method, '/die')
    assert.deepEqual([answer.status, answer.type, answer.reused], [502, 'application/json', true])
    assert.equal(JSON.parse(answer.text).code, 'BFF_UNAVAILABLE')
    assert.deepEqual(answer.requests, [`${method} /die`], 'sent once')
  }
})

test('a GET is repeated at another gateway, except those of login and logout', async (t) => {
  const balancer = await startBalancer(t)
  const again = await balancer.call('GET', '/die/once')
  assert.deepEqual([again.status, again.text], [200, 'ok'])
  const both = await balancer.call('GET', '/die')
  assert.deepEqual([both.status, both.requests.length], [502, 2])
  const callback = await balancer.call('GET', '/bff/callback/die')
  assert.deepEqual([callback.status, callback.requests.length], [502, 1])
})
