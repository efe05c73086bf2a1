import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { SessionEndReason } from '../../../plugins/observability/metrics.ts'
import type { Session } from '../../../plugins/session/session.ts'
import { createOpenStreams } from '../../../plugins/session/streams/open-streams.ts'

class Stream extends EventEmitter {
  destroyed = false
  ended = false
  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
  end = (): void => {
    this.ended = true
  }
}

/** Sessions that the test ends. */
function setUp(maxPerSession = 2) {
  const watched: { id: string; end: () => void; fail: () => void; signal: AbortSignal }[] = []
  const errors: unknown[] = []
  const follow = (session: Session, signal: AbortSignal) =>
    new Promise<SessionEndReason | undefined>((resolve, reject) => {
      watched.push({
        id: session.id,
        end: () => resolve('logout'),
        fail: () => reject(new Error('no store')),
        signal,
      })
      signal.addEventListener('abort', () => resolve(undefined))
    })
  const streams = createOpenStreams({ follow }, maxPerSession, (error) => errors.push(error))
  const open = (session: Session | null) => {
    const stream = new Stream()
    streams.open(session, stream, stream.end)
    return stream
  }
  return { streams, open, watched, errors }
}

const session = (id: string) => ({ id }) as Session
const turn = () => new Promise((resolve) => setImmediate(resolve))
const limited = { code: 'BFF_RATE_LIMITED', statusCode: 429 }

test('all streams of a session end with it, and the session is watched once for all of them', async () => {
  const { streams, open, watched } = setUp()
  const [a, b, other, download] = [open(session('1')), open(session('1')), open(session('2')), new Stream()]
  streams.endWith(session('1'), download)
  assert.deepEqual(
    watched.map(({ id }) => id),
    ['1', '2'],
  )

  watched[0]?.end()
  await turn()

  assert.deepEqual(
    [a, b, download, other].map(({ destroyed }) => destroyed),
    [true, true, true, false],
  )
})

test('the limit is per session, and counts neither downloads nor streams without a session', () => {
  const { streams, open } = setUp(1)
  streams.endWith(session('1'), new Stream())
  const first = open(session('1'))
  assert.throws(() => open(session('1')), limited)
  open(session('2'))
  open(null)
  open(null)

  first.destroy()
  open(session('1'))
})

test('a session without open streams is no longer watched, until its next stream', async () => {
  const { open, watched } = setUp()
  open(session('1')).destroy()
  assert.equal(watched[0]?.signal.aborted, true)
  await turn()

  const next = open(session('1'))
  watched[1]?.end()
  await turn()
  assert.equal(next.destroyed, true)
})

test('a stream opened just after its session has ended is closed', async () => {
  const { open, watched } = setUp()
  open(session('1'))
  watched[0]?.end()
  await turn()
  open(session('1'))
  assert.equal(watched.length, 2)
})

test('if watching a session fails, its streams end, and the reason is logged', async () => {
  const { open, watched, errors } = setUp()
  const stream = open(session('1'))
  watched[0]?.fail()
  await turn()
  assert.deepEqual([stream.destroyed, errors.length], [true, 1])
})

test('when closing starts all streams end cleanly, and so do later ones', () => {
  const { streams, open } = setUp()
  const before = [open(session('1')), open(null)]
  const closed = open(null)
  closed.destroy()
  streams.endAll()
  const after = open(session('1'))
  assert.deepEqual(
    [...before, closed, after].map(({ ended }) => ended),
    [true, true, false, true],
  )
})
