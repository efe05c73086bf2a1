import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { freePort } from '../test/support/free-port.ts'
import type { Listening, ProxyServer, Usage } from './proxy-server.ts'

/** A process of proxy-server.ts. */
export interface Subject {
  url: string
  port: number
  pid: number
  /** `Cookie` headers of the sessions that it was started with. */
  cookies: string[]
  usage(): Promise<Usage>
  end(): Promise<void>
}

/** How long a server may take to start or to end, in milliseconds. */
const startMs = 60_000
const endMs = 10_000

/** @param execArgv options of Node */
export async function startSubject(
  name: string,
  settings: Omit<ProxyServer, 'port'>,
  { port, execArgv = [] }: { port?: number; execArgv?: string[] } = {},
): Promise<Subject> {
  const ownPort = port ?? (await freePort())
  const server = fork(
    join(import.meta.dirname, 'proxy-server.ts'),
    [JSON.stringify({ ...settings, port: ownPort })],
    {
      // What is logged goes nowhere, as cheaply as can be.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv,
    },
  )
  const { cookies } = (await nextMessage(name, server)) as Listening
  return {
    url: `http://localhost:${ownPort}`,
    port: ownPort,
    pid: server.pid ?? 0,
    cookies,
    async usage() {
      server.send('how much?')
      return (await nextMessage(name, server)) as Usage
    },
    async end() {
      if (server.exitCode !== null || server.signalCode !== null) return
      const exited = once(server, 'exit')
      server.send('end')
      const tooLong = setTimeout(() => server.kill('SIGKILL'), endMs)
      await exited
      clearTimeout(tooLong)
    },
  }
}

async function nextMessage(name: string, server: ChildProcess): Promise<unknown> {
  const stopped = new AbortController()
  const { signal } = stopped
  const ended = once(server, 'exit', { signal }).then(() => {
    throw new Error(`${name} has ended`)
  })
  try {
    const tooLong = AbortSignal.timeout(startMs)
    const message = once(server, 'message', { signal: AbortSignal.any([signal, tooLong]) })
    return (await Promise.race([message, ended]))[0]
  } catch (cause) {
    throw new Error(`${name} did not answer`, { cause })
  } finally {
    stopped.abort()
    ended.catch(() => {})
  }
}
