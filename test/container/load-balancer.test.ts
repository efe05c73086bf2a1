import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { listen, stop } from '../../demo/listen.ts'
import { findExecutable } from '../support/executables.ts'
import { freePort } from '../support/free-port.ts'
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
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-haproxy-'))
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, configuration(port, ports))
  const searchPath = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter)
  const executable = findExecutable(['haproxy'], searchPath)
  if (!executable) throw new Error('There is no haproxy on the PATH: apt-get install haproxy')
  const server = spawn(executable, ['-q', '-db', '-f', file], { stdio: 'ignore' })
  const exited = once(server, 'exit')
  t.after(async () => {
    server.kill('SIGKILL')
    await exited
    rmSync(folder, { recursive: true })
  })

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

/** The configuration of compose.yaml, with addresses of this machine. */
function configuration(port: number, gateways: number[]): string {
  const original = readFileSync(resolve(import.meta.dirname, '../../deploy/haproxy.cfg'), 'utf8')
  const servers = gateways.map((gateway, i) => `server gateway-${i} 127.0.0.1:${gateway}`)
  return original
    .replace(/resolvers containers\n( .*\n)+/, '')
    .replace(' resolvers containers resolve-prefer ipv4 init-addr none', '')
    .replace('bind :8080', `bind 127.0.0.1:${port}`)
    .replaceAll('abns@requests', `abns@fastify-bff-${port}`)
    .replace(/server-template .*/, servers.join('\n  '))
    .replace(/^ *log .*\n/gm, '')
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
