import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createMetadataSource } from '../../../plugins/issuer/metadata-source.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

const down = new Error('down')

/** An issuer that fails `failures` times, then answers. */
function source(failures: number) {
  const clock = createFakeClock()
  const attempts: number[] = []
  const waits: number[] = []
  let isDown = false
  const metadata = createMetadataSource(
    async () => {
      attempts.push(clock.monotonic())
      if (isDown || attempts.length <= failures) throw down
      return { issuer: 'x' }
    },
    clock,
    (error, retryInMs) => {
      assert.equal(error, down)
      waits.push(retryInMs)
    },
  )
  return { clock, metadata, attempts, waits, goDown: (down: boolean) => (isDown = down) }
}

test('parallel callers share one attempt, and its result is kept', async () => {
  const { metadata, attempts } = source(0)
  assert.equal(metadata.known(), undefined)

  const answers = await Promise.all([metadata.get(), metadata.get(), metadata.get()])

  assert.equal(attempts.length, 1)
  assert.ok(answers.every((answer) => answer === metadata.known()))
  await metadata.get()
  assert.equal(attempts.length, 1)
})

test('a failed attempt rejects for all its callers, and the next call tries again', async () => {
  const { metadata, attempts } = source(1)

  const results = await Promise.allSettled([metadata.get(), metadata.get()])

  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.equal(metadata.known(), undefined)
  assert.deepEqual(await metadata.get(), { issuer: 'x' })
  assert.equal(attempts.length, 2)
})

test('it tries again after 1 s, doubling to 30 s, until it succeeds', async () => {
  const { clock, metadata, attempts, waits } = source(7)

  const learning = metadata.keepTrying(new AbortController().signal)
  await turn()
  await clock.advance(200_000)
  await learning

  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  assert.deepEqual(attempts, [0, 1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000])
  assert.deepEqual(metadata.known(), { issuer: 'x' })
})

test('it stops trying when another call has succeeded', async () => {
  const { clock, metadata, attempts } = source(1)
  const learning = metadata.keepTrying(new AbortController().signal)
  await turn()

  await metadata.get()
  await clock.advance(1000)
  await learning

  assert.equal(attempts.length, 2)
})

test('it stops at once when aborted', async () => {
  const { clock, metadata, attempts } = source(99)
  const closing = new AbortController()
  const learning = metadata.keepTrying(closing.signal)
  await turn()

  closing.abort()
  await learning

  assert.equal(clock.sleeping, 0)
  assert.equal(attempts.length, 1)
})

test('metadata older than an hour are fetched again, once and in the background, while the old ones are used', async () => {
  const { clock, metadata, attempts } = source(0)
  const old = await metadata.get()
  await clock.advance(3_599_999)
  await metadata.get()
  assert.equal(attempts.length, 1)

  await clock.advance(1)
  assert.deepEqual(await Promise.all([metadata.get(), metadata.get()]), [old, old])
  await turn()

  assert.equal(attempts.length, 2)
  assert.notEqual(metadata.known(), old)
  assert.equal(await metadata.get(), metadata.known())
  assert.equal(attempts.length, 2)
})

test('metadata that could not be fetched again stay in use, and are tried again a minute later', async () => {
  const { clock, metadata, attempts, waits, goDown } = source(0)
  const old = await metadata.get()
  goDown(true)
  await clock.advance(3_600_000)

  for (let seconds = 0; seconds < 120; seconds += 10) {
    assert.equal(await metadata.get(), old)
    await turn()
    await clock.advance(10_000)
  }
  assert.deepEqual(attempts, [0, 3_600_000, 3_660_000])
  assert.deepEqual(waits, [60_000, 60_000])

  goDown(false)
  await metadata.get()
  await turn()
  assert.notEqual(await metadata.get(), old)
})
