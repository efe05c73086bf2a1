import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')

test('a SIGTERM to npm start reaches the gateway, which shuts down in order', async (t) => {
  const env = {
    ...process.env,
    PORT: '0',
    OIDC_ISSUER: 'http://127.0.0.1:9',
    OIDC_CLIENT_ID: 'x',
    SHUTDOWN_DELAY: '0s',
  }
  const npm = spawn('npm', ['start'], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  t.after(() => {
    try {
      process.kill(-Number(npm.pid), 'SIGKILL')
    } catch {
      // It has ended, as it should.
    }
  })
  const lines: string[] = []
  const exited = once(npm, 'exit')
  // A gateway that the signal did not reach would keep it open.
  exited.then(() => setTimeout(() => npm.stdout.destroy(), 5000).unref())
  for await (const line of createInterface(npm.stdout)) {
    lines.push(line)
    if (line.includes('Server listening')) npm.kill('SIGTERM')
  }
  await exited
  for (const text of ['"signal":"SIGTERM"', 'shutdown.done'])
    assert.ok(
      lines.some((line) => line.includes(text)),
      lines.join('\n'),
    )
})

test('a Node that is too old is named in one sentence', async () => {
  const run = (version: string) =>
    new Promise<[code: unknown, stderr: string]>((resolve) => {
      const script = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } }); require('./lib/require-node.cjs')`
      execFile(process.execPath, ['-e', script], { cwd: root }, (error, _out, stderr) =>
        resolve([error?.code ?? 0, stderr]),
      )
    })
  for (const version of ['18.20.1', '20.19.0', '22.17.9'])
    assert.deepEqual(await run(version), [
      1,
      `This needs Node 22.18 or newer, and is run by Node ${version}.\n`,
    ])
  for (const version of ['22.18.0', '24.0.0', '26.1.0']) assert.deepEqual(await run(version), [0, ''])
})
