import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { formatOf, seal } from '../../../plugins/session/sealing.ts'
import { sessionHash } from '../../../plugins/session/session.ts'
import { sidIndex, subjectIndex } from '../../../plugins/session/session-indexes.ts'
import { createSessionProfiles } from '../../../plugins/session/session-profiles.ts'
import { readReference } from '../../../plugins/session/session-reference.ts'
import { createSessions } from '../../../plugins/session/sessions.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { StoreUnavailableError } from '../../../plugins/session-store/store.ts'
import { createFakeClock } from '../../support/fake-clock.ts'
import { renewedRecord } from '../../support/renewed-record.ts'

const issuer = 'https://login.example.com'
const clientId = 'gateway'
const tokenSet = { accessToken: 'first', tokenType: 'Bearer', obtainedAt: 0 }
const alice = { issuer, subject: 'alice', sid: 'sid-1', claims: { name: 'Alice' }, tokenSet }
const newer = { ...tokenSet, accessToken: 'second' }
const minute = 60_000

function start({ idleTimeoutMs = 30 * minute, lifetimeMs = 60 * minute } = {}) {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  return { clock, store, sessions: createSessions({ store, clock, clientId, idleTimeoutMs, lifetimeMs }) }
}

test('a session opens with its reference, and with no other', async () => {
  const { sessions } = start()
  const { reference, session } = await sessions.create(alice)
  const { reference: others } = await sessions.create(alice)

  assert.deepEqual(await sessions.load(reference), session)
  assert.equal(await sessions.load({ ...reference, key: others.key }), undefined)
  assert.equal(await sessions.load({ ...reference, id: others.id }), undefined)
  assert.equal(await sessions.load({ id: session.id, key: reference.key }), undefined)
})

test('the store sees neither identifier, key nor content', async (t) => {
  const { sessions, store } = start()
  const create = t.mock.method(store, 'create')
  const { reference } = await sessions.create(alice)
  const { sealed, ...rest } = create.mock.calls[0]?.arguments[1] ?? assert.fail()
  const seen = JSON.stringify([create.mock.calls[0]?.arguments[0], rest]) + sealed.toString('latin1')
  for (const secret of [reference.id, reference.key, 'alice', 'Alice', 'first', 'sid-1', issuer]) {
    assert.ok(!seen.includes(secret), secret)
  }
})

test('renewed tokens are stored over the version they derive from, once', async () => {
  const { sessions, clock } = start()
  const { reference, session } = await sessions.create(alice)
  await clock.advance(1000)

  const store = sessions.prepareWrite(session, renewedRecord(session, newer, clock.now()))
  const first = await store()
  assert.ok(first.outcome === 'stored')
  assert.equal(first.session.record.renewals, 1)
  assert.equal(first.session.record.renewedAt, clock.now())
  assert.deepEqual(await store(), first)
  assert.deepEqual(await sessions.prepareWrite(session, renewedRecord(session, newer))(), {
    outcome: 'conflict',
  })

  const opened = await sessions.load(reference)
  assert.equal(opened?.record.tokenSet.accessToken, 'second')
  assert.equal(opened?.version, 2)
})

test('a renewal does not bring back a session that has ended', async () => {
  const { sessions } = start()
  const { reference, session } = await sessions.create(alice)
  const store = sessions.prepareWrite(session, renewedRecord(session, newer))
  await sessions.end(session)
  assert.deepEqual(await store(), { outcome: 'gone' })
  assert.equal(await sessions.load(reference), undefined)
})

test('ending a session returns its last record, whose tokens can be revoked', async () => {
  const { sessions } = start()
  const { session } = await sessions.create(alice)
  await sessions.prepareWrite(session, renewedRecord(session, newer))()
  assert.equal((await sessions.end(session))?.tokenSet.accessToken, 'second')
  assert.equal(await sessions.end(session), undefined)
  assert.equal(await sessions.reload(session), undefined)
})

test('a session ended at a version does not end if newer tokens were stored meanwhile', async () => {
  const { sessions } = start()
  const { session } = await sessions.create(alice)
  await sessions.prepareWrite(session, renewedRecord(session, newer))()
  assert.equal(await sessions.end(session, { onlyThisVersion: true }), undefined)
  const current = await sessions.reload(session)
  assert.ok(current)
  assert.ok(await sessions.end(current, { onlyThisVersion: true }))
})

test('the idle timeout slides up to the absolute lifetime, and both are checked on read', async () => {
  const { sessions, clock } = start()
  const { reference, session } = await sessions.create(alice)
  const startedAt = clock.now()
  assert.equal(session.expiresAt, startedAt + 30 * minute)

  await clock.advance(20 * minute)
  assert.equal((await sessions.load(reference, { slide: false }))?.expiresAt, startedAt + 30 * minute)
  assert.equal((await sessions.load(reference))?.expiresAt, startedAt + 50 * minute)
  await clock.advance(20 * minute)
  assert.equal((await sessions.load(reference))?.expiresAt, startedAt + 60 * minute)
  await clock.advance(20 * minute)
  assert.equal(await sessions.load(reference), undefined)
})

test('a record that the store keeps too long is not a session', async () => {
  const { sessions, clock, store } = start()
  const { reference, session } = await sessions.create(alice)
  await store.touch(session.id, 1000 * minute)
  await clock.advance(60 * minute)
  assert.equal(await sessions.load(reference), undefined)
  assert.equal(await sessions.reload(session), undefined)
})

test('reading a session again does not slide it', async (t) => {
  const { sessions, clock, store } = start()
  const { session } = await sessions.create(alice)
  const touch = t.mock.method(store, 'touch')
  await clock.advance(20 * minute)
  await sessions.reload(session)
  assert.equal(touch.mock.callCount(), 0)
})

test('a very short idle timeout slides often enough', async () => {
  const { sessions, clock } = start({ idleTimeoutMs: 2000 })
  const { reference } = await sessions.create(alice)
  for (let i = 0; i < 10; i++) {
    await clock.advance(1000)
    assert.ok(await sessions.load(reference))
  }
  await clock.advance(2000)
  assert.equal(await sessions.load(reference), undefined)
})

test('all sessions of a sub or a sid are found without their cookies', async () => {
  const { sessions, store } = start()
  const one = await sessions.create(alice)
  const two = await sessions.create({ ...alice, sid: 'sid-2' })
  const bob = await sessions.create({ ...alice, subject: 'bob', sid: 'sid-3' })

  assert.equal((await store.destroyBy(sidIndex(issuer, clientId, 'sid-2'))).length, 1)
  assert.equal(await sessions.load(two.reference), undefined)
  assert.ok(await sessions.load(one.reference))
  assert.equal((await store.destroyBy(subjectIndex('https://other.example', clientId, 'alice'))).length, 0)
  assert.equal((await store.destroyBy(subjectIndex(issuer, 'another client', 'alice'))).length, 0)
  assert.equal((await store.destroyBy(subjectIndex(issuer, clientId, 'alice'))).length, 1)
  assert.equal(await sessions.load(one.reference), undefined)
  assert.ok(await sessions.load(bob.reference))
})

test('a subject and a sid of the same name are not mixed up', () => {
  assert.notEqual(subjectIndex(issuer, clientId, 'x'), sidIndex(issuer, clientId, 'x'))
  assert.notEqual(subjectIndex('a', 'b"c', 'd'), subjectIndex('a","b', 'c', 'd'))
})

test('logs name a session by a hash that reveals neither cookie nor store key', async () => {
  const { sessions } = start()
  const { reference, session } = await sessions.create(alice)
  const name = sessionHash(session)
  assert.match(name, /^[\w-]{22}$/)
  assert.ok(!reference.id.includes(name))
  assert.equal(name, sessionHash((await sessions.load(reference)) ?? assert.fail()))
})

test('the content of a cookie is a session reference only if both parts are valid', () => {
  const token = 'x'.repeat(43)
  assert.deepEqual(readReference({ id: token, key: token, more: 1 }), { id: token, key: token })
  for (const wrong of [
    undefined,
    null,
    1,
    '',
    'x'.repeat(42),
    'x'.repeat(44),
    `${'x'.repeat(42)}+`,
    [token],
  ]) {
    assert.equal(readReference({ id: wrong, key: token }), undefined)
    assert.equal(readReference({ id: token, key: wrong }), undefined)
  }
})

test('a session of an earlier release stays readable for that release, and can be renewed and ended', async () => {
  const { store, sessions, clock } = start()
  const reference = { id: 'a'.repeat(43), key: `${'b'.repeat(42)}A` }
  const id = hash('sha256', reference.id, 'base64url')
  const key = Buffer.from(reference.key, 'base64url')
  const record = { ...alice, createdAt: clock.now(), renewals: 0 }
  const sealed = seal(record, { key, id, version: 1 }, 1)
  await store.create(id, { sealed, ttlMs: 30 * minute, indexes: [] })

  const session = (await sessions.load(reference)) ?? assert.fail()
  const stored = await sessions.prepareWrite(session, renewedRecord(session, newer, clock.now()))()

  assert.equal(stored.outcome, 'stored')
  assert.equal(formatOf((await store.read(id))?.sealed ?? assert.fail()), 1)
  assert.equal((await sessions.load(reference))?.record.tokenSet.accessToken, 'second')
  assert.equal((await sessions.end(session))?.tokenSet.accessToken, 'second')
})

test('unsealed data that is no record is no session', async () => {
  const { store, sessions } = start()
  const reference = { id: 'a'.repeat(43), key: `${'b'.repeat(42)}A` }
  const id = hash('sha256', reference.id, 'base64url')
  const sealedFor = { key: Buffer.from(reference.key, 'base64url'), id, version: 1 }
  await store.create(id, { sealed: seal({ of: 'another kind' }, sealedFor), ttlMs: minute, indexes: [] })
  assert.equal(await sessions.load(reference), undefined)
})

test('an open session keeps no larger buffer in memory than its key', async () => {
  const { sessions } = start()
  const { reference } = await sessions.create(alice)
  for (let times = 0; times < 2; times++) {
    assert.equal((await sessions.load(reference))?.key.buffer.byteLength, 32)
  }
})

test('a user has no more sessions than the limit, over all devices, and each ended one is reported by its hash', async () => {
  const { clock, store, ...options } = { ...start(), clientId, idleTimeoutMs: minute, lifetimeMs: minute }
  const sessions = createSessions({ ...options, store, clock, maxPerUser: 2 })
  const first = await sessions.create(alice)
  const second = await sessions.create({ ...alice, sid: 'sid-2' })
  await sessions.create({ ...alice, subject: 'bob' })
  assert.deepEqual(await sessions.enforceLimit(second.session), [])
  const third = await sessions.create({ ...alice, sid: 'sid-3' })
  assert.deepEqual((await sessions.enforceLimit(third.session)).map(sessionHash), [
    sessionHash(first.session),
  ])
  assert.deepEqual(await sessions.enforceLimit(third.session), [])
  assert.equal(await sessions.load(first.reference), undefined)
  assert.ok(await sessions.load(third.reference))
})

test('a session that the limit ends is reported, though the note of it for the user can not be stored', async () => {
  const { clock, store, ...options } = { ...start(), clientId, idleTimeoutMs: minute, lifetimeMs: minute }
  const updateProfile = () => Promise.reject(new StoreUnavailableError(new Error('OOM')))
  const profiles = createSessionProfiles([Buffer.alloc(32, 1)])
  const sessions = createSessions({
    ...options,
    store: { ...store, updateProfile },
    clock,
    maxPerUser: 1,
    profiles,
  })
  const first = await sessions.create(alice)
  const second = await sessions.create({ ...alice, sid: 'sid-2' })

  const ended = await sessions.enforceLimit(second.session)

  assert.deepEqual(ended.map(sessionHash), [sessionHash(first.session)])
})
