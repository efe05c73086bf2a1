import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProgress, type Progress } from '../../../plugins/renewal/flight.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

test('the store time of all flights that a request has followed counts, each from then on', async () => {
  const clock = createFakeClock()
  const [request, first, second] = [createProgress(clock), createProgress(clock), createProgress(clock)]
  const atStore = (progress: Progress, ms: number) => progress.atStore(() => clock.advance(ms))
  await atStore(first, 1)
  request.follow(first)
  await atStore(first, 10)
  await atStore(second, 100)
  request.follow(second)
  await atStore(second, 1_000)
  await atStore(first, 10_000)
  assert.equal(request.storeMs(), 1_010)
})
