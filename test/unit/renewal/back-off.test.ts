import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backOffMs } from '../../../plugins/renewal/policy.ts'

test('back-off starts at 1 s and doubles with each failure up to 30 s', () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 100, 5000].map((failures) => backOffMs(failures, 0))
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000])
})

test('back-off is shortened by up to a quarter at random', () => {
  assert.equal(backOffMs(0, 0.5), 875)
  assert.equal(backOffMs(0, 1), 750)
  assert.equal(backOffMs(9, 0.5), 26_250)
})

test("the issuer's Retry-After is the minimum back-off", () => {
  assert.equal(backOffMs(0, 0, 120_000), 120_000)
  assert.equal(backOffMs(0, 0.99, 60_000), 60_000)
})

test('an issuer that asks for less than the back-off does not shorten it', () => {
  assert.equal(backOffMs(3, 0, 1000), 8000)
})
