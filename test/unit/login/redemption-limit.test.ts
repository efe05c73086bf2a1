import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRedemptionLimit } from '../../../routes/bff/redemption-limit.ts'
import { createFakeClock } from '../../support/fake-clock.ts'
import { rejectsWith } from '../renewal/support.ts'

const here = { key: '192.0.2.1', isKnown: false }
const there = { key: '192.0.2.2', isKnown: false }

test('a client has at most 300 codes redeemed at the same time, and others are not affected', async () => {
  const limit = createRedemptionLimit({ clock: createFakeClock(), refusedCodesPerMinute: 1000 })
  for (let round = 0; round < 2; round++) {
    const { promise, resolve } = Promise.withResolvers<string>()
    const underWay = Array.from({ length: 300 }, () => limit(here, () => promise))

    const error = await rejectsWith(
      limit(here, () => assert.fail('It must not be sent to the issuer')),
      'BFF_RATE_LIMITED',
    )
    assert.equal(error.retryAfterMs, 1000)
    assert.equal(await limit(there, async () => 'done'), 'done')

    // Also one that ends in an error makes room for another.
    await assert.rejects(limit(there, () => Promise.reject(new Error('The issuer is down'))))
    resolve('redeemed')
    assert.deepEqual(new Set(await Promise.all(underWay)), new Set(['redeemed']))
  }
})
