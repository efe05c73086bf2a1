import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasEndedWithin, rememberEnd } from '../../../plugins/login/ended-sid.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

const session = { issuer: 'https://issuer.example', clientId: 'gateway', sid: 'a' }

test('the end of a session is remembered with its age, for as long as a login may take', async () => {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  assert.equal(await hasEndedWithin(store, session, 600_000), false)

  await rememberEnd(store, session)
  await clock.advance(5_000)
  assert.equal(await hasEndedWithin(store, session, 5_001), true)
  assert.equal(await hasEndedWithin(store, session, 5_000), false)

  await clock.advance(595_000)
  assert.equal(await hasEndedWithin(store, session, 700_000), false)
})

test('the end of a sid concerns neither other sids nor the same sid at another issuer or client', async () => {
  const store = createMemoryStore({ clock: createFakeClock() })
  await rememberEnd(store, session)
  for (const other of [
    { ...session, sid: 'b' },
    { ...session, issuer: 'https://other.example' },
    { ...session, clientId: 'other' },
  ])
    assert.equal(await hasEndedWithin(store, other, 600_000), false)
})
