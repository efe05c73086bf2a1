import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { PassThrough, Writable } from 'node:stream'
import { test } from 'node:test'
import type { OpenStreams } from '../../../plugins/session/streams/open-streams.ts'
import { endWithSession } from '../../../plugins/upstream/respond.ts'
import type { UpstreamAnswer } from '../../../plugins/upstream/upstream-answer.ts'

/** Ends an event stream whose client reads only after `flush` was called. */
function beginToEnd(httpVersionMajor: 1 | 2) {
  let flush = () => {}
  let close = () => {}
  const openStreams = { open: (_session: unknown, _stream: unknown, end: () => void) => (close = end) }
  const answer = { headers: { 'content-type': 'text/event-stream' }, body: new PassThrough() }
  const write = (_chunk: unknown, _encoding: unknown, done: () => void) => {
    flush = done
  }
  const response = Object.assign(new Writable({ write }), {
    headersSent: true,
    req: { socket: { destroySoon() {} }, httpVersionMajor },
  })
  endWithSession(
    openStreams as unknown as OpenStreams,
    null,
    answer as unknown as UpstreamAnswer,
    response as unknown as ServerResponse,
    1000,
  )
  response.write('data: 1')
  close()
  return { response, flush: () => flush() }
}

for (const version of [1, 2] as const) {
  test(`a client that does not read delays the end of its event stream for ten seconds only: HTTP/${version}`, (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { response } = beginToEnd(version)
    t.mock.timers.tick(9_999)
    assert.equal(response.destroyed, false)
    t.mock.timers.tick(1)
    assert.equal(response.destroyed, true)
    assert.equal(response.writableFinished, false)
  })
}

test('a client that reads the rest gets all of it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { response, flush } = beginToEnd(1)
  const closed = new Promise<void>((resolve) => void response.once('close', resolve))
  flush()
  await closed
  t.mock.timers.tick(10_000)
  assert.equal(response.writableFinished, true)
})
