import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { findExecutable } from './executables.ts'

export interface Haproxy {
  pid: number
  close(): Promise<void>
}

/** The load balancer of compose.yaml on `port`, in front of gateways on these ports. Does not wait until it is ready. */
export function startHaproxy(port: number, gateways: number[]): Haproxy {
  const searchPath = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter)
  const executable = findExecutable(['haproxy'], searchPath)
  if (!executable) throw new Error('There is no haproxy on the PATH: apt-get install haproxy')
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-haproxy-'))
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, configuration(port, gateways))
  const server = spawn(executable, ['-q', '-db', '-f', file], { stdio: 'ignore' })
  const exited = once(server, 'exit')
  const killWithUs = () => server.kill('SIGKILL')
  process.once('exit', killWithUs)
  return {
    pid: server.pid ?? 0,
    async close() {
      process.off('exit', killWithUs)
      server.kill('SIGKILL')
      await exited
      rmSync(folder, { recursive: true })
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
