import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createPublicIds } from '../../../plugins/session/public-ids.ts'
import { createSessionList } from '../../../plugins/session/session-list.ts'
import { createSessionProfiles } from '../../../plugins/session/session-profiles.ts'
import { createSessions } from '../../../plugins/session/sessions.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

const issuer = 'https://login.example.com'
const login = {
  issuer,
  subject: 'alice',
  sid: 's1',
  claims: {},
  tokenSet: { accessToken: 'a', tokenType: 'bearer', obtainedAt: 0 },
}
const phone = { userAgent: 'A phone', address: '203.0.113.7' }

function setUp() {
  const keys = [randomBytes(32)]
  const clock = createFakeClock(1_764_600_000_000)
  const store = createMemoryStore({ clock })
  const [profiles, publicIds] = [createSessionProfiles(keys), createPublicIds(keys)]
  const of = (clientId: string) => ({
    sessions: createSessions({
      store,
      clock,
      clientId,
      profiles,
      idleTimeoutMs: 3_600_000,
      lifetimeMs: 36_000_000,
    }),
    list: createSessionList({ store, clientId, profiles, publicIds }),
  })
  return { store, clock, profiles, publicIds, of }
}

test('the same user at another client, or of another issuer, is another user', async () => {
  const { publicIds, of } = setUp()
  const [shop, desk] = [of('shop'), of('desk')]
  const { session } = await shop.sessions.create(login, phone)
  await desk.sessions.create(login, phone)
  await shop.sessions.create({ ...login, issuer: 'https://other.example.com' }, phone)

  assert.deepEqual(
    (await shop.list.of(login)).map(({ id }) => id),
    [session.id],
  )
  const publicId = publicIds.of(session.id)
  assert.equal((await shop.list.find(login, publicId))?.id, session.id)
  assert.equal(await desk.list.find(login, publicId), undefined)
  assert.equal(
    await shop.list.find({ issuer: 'https://other.example.com', subject: 'alice' }, publicId),
    undefined,
  )
})

test('a profile that was moved to another session shows nothing of it', async () => {
  const { store, of } = setUp()
  const { sessions, list } = of('shop')
  const [one, two] = [
    await sessions.create(login, phone),
    await sessions.create(login, { userAgent: 'Mine' }),
  ]
  const moved = (await list.of(login)).length === 2 && (await profileOf(one.session.id))
  assert.ok(moved)

  await store.updateProfile(two.session.id, () => moved)

  const { profile } = (await list.of(login)).find(({ id }) => id === two.session.id) ?? assert.fail()
  assert.equal(profile, undefined)

  async function profileOf(wanted: string): Promise<Buffer | undefined> {
    for await (const batch of store.listAll())
      for (const { id, profile } of batch) if (id === wanted) return profile
    return undefined
  }
})

test('a session that is bound shows so, also after its next use', async () => {
  const { clock, of } = setUp()
  const { sessions, list } = of('shop')
  const { reference, session } = await sessions.create(login, phone)
  const bound = async () => list.view((await list.of(login))[0] ?? assert.fail()).bound
  assert.equal(await bound(), false)
  await sessions.noteBound(session)
  assert.equal(await bound(), true)
  await clock.advance(120_000)
  await sessions.load(reference)
  assert.equal(await bound(), true)
})

test('a session of an earlier release, without a profile, gets one with its next use', async () => {
  const { store, clock, of } = setUp()
  const { list, sessions } = of('shop')
  const earlier = createSessions({
    store,
    clock,
    clientId: 'shop',
    idleTimeoutMs: 3_600_000,
    lifetimeMs: 36_000_000,
  })
  const { reference } = await earlier.create(login)
  const view = async () => list.view((await list.of(login))[0] ?? assert.fail())
  const { lastUsedAt, userAgent, address, bound } = await view()
  assert.deepEqual([lastUsedAt, userAgent, address, bound], [null, null, null, false])

  await clock.advance(120_000)
  await sessions.load(reference, { client: () => phone })
  assert.equal((await view()).userAgent, 'A phone')
})
