import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createSessionProfiles, sessionClient } from '../../../plugins/session/session-profiles.ts'

const profile = { lastUsedAt: 1_764_600_000_000, userAgent: 'A phone', address: '203.0.113.7' }
const [id, other] = ['A', 'B'].map((letter) => letter.repeat(43)) as [string, string]

test('a profile opens for its session only', () => {
  const profiles = createSessionProfiles([randomBytes(32)])
  const sealed = profiles.seal(id, profile)
  assert.deepEqual(profiles.open(id, sealed), profile)
  assert.equal(profiles.open(other, sealed), undefined)
  assert.equal(profiles.open(id, undefined), undefined)
  assert.equal(profiles.open(id, Buffer.from('garbage')), undefined)
})

test('a profile reveals nothing, and a changed one does not open', () => {
  const profiles = createSessionProfiles([randomBytes(32)])
  const sealed = profiles.seal(id, profile)
  assert.doesNotMatch(sealed.toString('latin1'), /phone|203/)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.equal(profiles.open(id, changed), undefined)
  }
})

test('profiles open with old keys, and are sealed with the newest', () => {
  const [older, newer] = [randomBytes(32), randomBytes(32)]
  const [before, during, after] = [[older], [newer, older], [newer]].map(createSessionProfiles)
  assert.ok(before && during && after)
  assert.deepEqual(during.open(id, before.seal(id, profile)), profile)
  assert.deepEqual(after.open(id, during.seal(id, profile)), profile)
  assert.equal(after.open(id, before.seal(id, profile)), undefined)
})

test('what is no profile is none', () => {
  const profiles = createSessionProfiles([randomBytes(32)])
  for (const value of [
    {},
    { ...profile, userAgent: 1 },
    { ...profile, bound: 'yes' },
    { ...profile, endedByLimit: {} },
  ])
    assert.equal(profiles.open(id, profiles.seal(id, value as typeof profile)), undefined)
})

test('a browser is described by its user agent, cut, and its address', () => {
  const request = { ip: '203.0.113.7', headers: { 'user-agent': 'x'.repeat(1000) } }
  assert.deepEqual(sessionClient(request), { userAgent: 'x'.repeat(200), address: '203.0.113.7' })
  assert.deepEqual(sessionClient({ headers: {} }), { userAgent: undefined, address: undefined })
})
