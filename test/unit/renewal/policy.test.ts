import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decideRenewal, type RenewalDecision } from '../../../plugins/renewal/policy.ts'

const now = Date.UTC(2026, 0, 1)
const seconds = 1000

function decide(lifetimeMs: number, leftMs: number, beforeMs: number, canRenew = true): RenewalDecision {
  const expiresAt = now + leftMs
  return decideRenewal({ expiresAt, obtainedAt: expiresAt - lifetimeMs, canRenew }, beforeMs, now)
}

// The window is min(before, lifetime / 2); a token is usable with more than min(5 s, window / 3) left.
const boundaries = [
  { lifetime: 3600 * seconds, before: 60 * seconds, window: 60 * seconds, margin: 5 * seconds },
  { lifetime: 120 * seconds, before: 60 * seconds, window: 60 * seconds, margin: 5 * seconds },
  { lifetime: 60 * seconds, before: 60 * seconds, window: 30 * seconds, margin: 5 * seconds },
  { lifetime: 30 * seconds, before: 15 * seconds, window: 15 * seconds, margin: 5 * seconds },
  { lifetime: 30 * seconds, before: 60 * seconds, window: 15 * seconds, margin: 5 * seconds },
  { lifetime: 24 * seconds, before: 60 * seconds, window: 12 * seconds, margin: 4 * seconds },
  { lifetime: 3600 * seconds, before: 3 * seconds, window: 3 * seconds, margin: 1 * seconds },
  { lifetime: 6 * seconds, before: 60 * seconds, window: 3 * seconds, margin: 1 * seconds },
]

for (const { lifetime, before, window, margin } of boundaries) {
  const what = `a token of ${lifetime / seconds} s, renewed ${before / seconds} s before its expiry,`

  test(`${what} is used until ${window / seconds} s are left`, () => {
    assert.equal(decide(lifetime, window + 1, before), 'use')
    assert.equal(decide(lifetime, window, before), 'use-and-renew')
  })

  test(`${what} makes requests wait for its renewal once ${margin / seconds} s are left`, () => {
    assert.equal(decide(lifetime, margin + 1, before), 'use-and-renew')
    assert.equal(decide(lifetime, margin, before), 'wait')
    assert.equal(decide(lifetime, 0, before), 'wait')
    assert.equal(decide(lifetime, -lifetime, before), 'wait')
  })
}

test('a token with a lifetime of zero makes requests wait for its renewal', () => {
  assert.equal(decide(0, 0, 60 * seconds), 'wait')
  assert.equal(decide(-5 * seconds, -5 * seconds, 60 * seconds), 'wait')
})

test('without a refresh token the access token is used until it expires, then the session ends', () => {
  assert.equal(decide(30 * seconds, 10 * seconds, 15 * seconds, false), 'use')
  assert.equal(decide(30 * seconds, 1, 15 * seconds, false), 'use')
  assert.equal(decide(30 * seconds, 0, 15 * seconds, false), 'ended')
  assert.equal(decide(30 * seconds, -1, 15 * seconds, false), 'ended')
})

test('a token without a known expiry is used', () => {
  for (const canRenew of [true, false])
    assert.equal(decideRenewal({ obtainedAt: 0, canRenew }, 60 * seconds, now), 'use')
})

test('as time passes, the decision only moves from use to renew to wait', () => {
  const order = ['use', 'use-and-renew', 'wait']
  const ms = fc.integer({ min: 0, max: 7_200_000 })
  fc.assert(
    fc.property(ms, ms, ms, ms, (lifetime, before, left, passed) => {
      const earlier = order.indexOf(decide(lifetime, left, before))
      const later = order.indexOf(decide(lifetime, left - passed, before))
      assert.ok(earlier >= 0 && later >= earlier)
    }),
  )
})

test('a token just granted with any lifetime left can be sent', () => {
  const ms = fc.integer({ min: 1, max: 7_200_000 })
  fc.assert(
    fc.property(ms, ms, (lifetime, before) => {
      assert.equal(decide(lifetime, lifetime, before), 'use')
    }),
  )
})
