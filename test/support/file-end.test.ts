import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { until } from './until.ts'

test('a test file that leaves something open fails, and ends what it has started', async () => {
  const file = runFile('100')
  const [[code], stderr] = await Promise.all([once(file, 'close'), text(file.stderr)])

  assert.equal(code, 1)
  assert.match(stderr, /Still open after the last test: .*ProcessWrap/)
  await assertGone(stderr)
})

test('a test file that is told to end by a signal ends what it has started', async () => {
  const file = runFile('3600000')
  let stderr = ''
  file.stderr.setEncoding('utf8').on('data', (more) => (stderr += more))
  const ended = once(file, 'close')
  await until(() => /port \d+\n/.test(stderr))

  file.kill('SIGTERM')

  assert.deepEqual(await ended, [143, null])
  await assertGone(stderr)
})

function runFile(...args: string[]) {
  const path = join(import.meta.dirname, 'fixtures/open-file.ts')
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return spawn(process.execPath, [path, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Its Redis listens no more. */
async function assertGone(stderr: string): Promise<void> {
  const port = Number(/port (\d+)/.exec(stderr)?.[1])
  await until(async () => {
    const socket = connect(port, '127.0.0.1')
    const refused = await once(socket, 'connect').then(
      () => false,
      () => true,
    )
    socket.destroy()
    return refused
  })
}
