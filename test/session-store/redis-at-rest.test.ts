import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { parseRedisUrl } from '../../config/index.ts'
import { systemClock } from '../../lib/clock.ts'
import { createSessionProfiles } from '../../plugins/session/session-profiles.ts'
import { createSessions, type NewSession } from '../../plugins/session/sessions.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startCluster } from '../support/redis-topologies.ts'
import { acquire, create, HOUR, MINUTE } from './contract-support.ts'
import { openStore } from './redis-support.ts'

const bound = 2_500

test(`a session with two JWTs of 1.2 KB takes at most ${bound} bytes of Redis, all keys counted`, async (t) => {
  const { client, store } = await setUp(t)
  const sessions = createSessions({
    store,
    clock: systemClock,
    clientId: 'web-frontend',
    idleTimeoutMs: 8 * HOUR,
    lifetimeMs: 7 * 24 * HOUR,
    maxPerUser: 100,
    profiles: createSessionProfiles([randomBytes(32)]),
  })
  const userAgent =
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36'
  for (const refreshToken of [randomBytes(32).toString('base64url'), jwtRefreshToken()]) {
    await client.flushall()
    const login = realisticLogin(refreshToken)
    await sessions.create(login, { userAgent, address: '203.0.113.177' })

    const sizes = new Map<string, number>()
    for (const key of await client.keys('*')) sizes.set(key, Number(await client.memory('USAGE', key)))
    const total = [...sizes.values()].reduce((sum, size) => sum + size, 0)
    assert.equal(sizes.size, 3)
    t.diagnostic(`refresh token of ${refreshToken.length} characters: ${total} bytes`)
    assert.ok(total <= bound, `${total} bytes: ${JSON.stringify([...sizes])}`)
  }
})

test('an index expires with its last session', async (t) => {
  const { client, store } = await setUp(t)
  const ttlMinutes = async () => Math.ceil((await client.pttl('bff:index:subject')) / MINUTE)
  await create(store, 'a', { indexes: ['subject'], ttlMs: HOUR })
  assert.equal(await ttlMinutes(), 61)
  await create(store, 'b', { indexes: ['subject'], ttlMs: 5 * HOUR })
  assert.equal(await ttlMinutes(), 301)
  await store.destroy('b')
  assert.equal(await ttlMinutes(), 61)
  await store.touch('a', 2 * HOUR)
  assert.equal(await ttlMinutes(), 121)
  await store.destroy('a')
  assert.deepEqual((await client.keys('*')).sort(), ['bff:{a}:ended', 'bff:{b}:ended'])
})

test('a session is in its indexes before its record is stored, so that no logout by index misses it', async (t) => {
  const { redis, client } = await setUp(t)
  await client.acl('SETUSER', 'gateway', 'on', '>secret', '~bff:index:*', '&*', '+@all')
  const store = openStore(redis.url.replace('//', '//gateway:secret@'))
  t.after(() => store.close())

  await assert.rejects(create(store, 'a', { indexes: ['subject', 'sid'] }), StoreUnavailableError)

  for (const index of ['subject', 'sid']) {
    assert.deepEqual(await client.zrange(`bff:index:${index}`, 0, '-1'), ['a'])
  }
  assert.equal(await client.exists('bff:{a}:record'), 0)
})

test('a lock command sent twice succeeds for its owner, as a Cluster client may send commands twice', async (t) => {
  const { client } = await setUp(t)
  const keys = ['bff:{a}:lock', 'bff:{a}:failures'] as const
  assert.deepEqual(await client.bffLock(...keys, 'me', HOUR), ['acquired', 0])
  assert.deepEqual(await client.bffLock(...keys, 'me', HOUR), ['acquired', 0])
  assert.equal((await client.bffLock(...keys, 'another', HOUR))[0], 'held')
  await client.bffRelease(...keys, 'a', 'me')
  assert.deepEqual(await client.bffLock(...keys, 'another', HOUR), ['acquired', 0])
})

for (const [trouble, setting, value] of [
  ['without its replicas', 'min-replicas-to-write', '1'],
  ['without free memory', 'maxmemory', '1'],
] as const) {
  test(`a Redis ${trouble} is not ready, until it accepts writes again`, async (t) => {
    // So long that the first refusal must count, not the time without an answer.
    const { client, store } = await setUp(t, { storeTimeoutMs: HOUR })
    const isReady = () =>
      store.ping().then(
        () => true,
        () => false,
      )
    assert.equal(await isReady(), true)
    await client.config('SET', setting, value)
    // Writing is tried once a second.
    while (await isReady());
    assert.equal(await isReady(), false)
    await client.config('SET', setting, '0')
    assert.equal(await isReady(), true)
  })
}

test('readiness is checked by a write at most once a second, and else by a PING', async (t) => {
  const { redis, store } = await setUp(t)
  const writes = async () =>
    Number(/cmdstat_set:calls=(\d+)/.exec(await redis.send('INFO commandstats'))?.[1] ?? 0)
  let now = 0
  t.mock.method(performance, 'now', () => now)
  for (const [at, expected] of [
    [0, 1],
    [999, 1],
    [1000, 2],
    [1000, 2],
  ] as const) {
    now = at
    await store.ping()
    assert.equal(await writes(), expected, `at ${at} ms`)
  }
})

test('a Cluster is ready while any of its masters accepts writes', async (t) => {
  const cluster = await startCluster()
  const store = openStore(cluster.url)
  t.after(async () => {
    await store.close()
    await cluster.close()
  })
  const refuseWrites = (server: RedisServer) => server.send('CONFIG SET min-replicas-to-write 1')
  const takeWrites = (server: RedisServer) => server.send('CONFIG SET min-replicas-to-write 0')
  const isReady = () =>
    store.ping().then(
      () => true,
      () => false,
    )

  for (const server of cluster.servers) await refuseWrites(server)
  while (await isReady());
  for (const server of cluster.servers) {
    await takeWrites(server)
    while (!(await isReady()));
    await refuseWrites(server)
    while (await isReady());
  }
})

test('every key of the store has a time to live', async (t) => {
  const { client, store } = await setUp(t)
  await create(store, 'a', { indexes: ['subject', 'sid'] })
  await create(store, 'b', { indexes: ['subject', 'sid'] })
  await store.trim('subject', 1, 'b')
  await store.touch('b', 2 * HOUR)
  await acquire(store, 'b')
  await (await acquire(store, 'c')).backOff(MINUTE)
  await store.addMarker('name', MINUTE)
  await store.ping()
  const keys = await client.keys('*')
  assert.equal(keys.length, 9, keys.join())
  for (const key of keys) assert.ok((await client.pttl(key)) > 0, key)
})

async function setUp(t: TestContext, options?: { storeTimeoutMs: number }) {
  const redis = await startRedis()
  const store = openStore(redis.url, options)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(async () => {
    await Promise.all([store.close(), connection.close()])
    await redis.close()
  })
  await connection.ready()
  return { redis, store, client: connection.client }
}

/** Like a login of a customer at Keycloak. */
function realisticLogin(refreshToken: string): NewSession {
  const [subject, sid] = [randomUUID(), randomUUID()]
  const issuer = 'https://login.example.com/realms/customers'
  const now = Math.floor(Date.now() / 1000)
  const profile = {
    email_verified: true,
    name: 'Alice Example-Lovelace',
    preferred_username: 'alice.example',
    given_name: 'Alice',
    family_name: 'Example-Lovelace',
    email: 'alice.example@customers.example.com',
  }
  const common = {
    exp: now + 300,
    iat: now,
    auth_time: now,
    iss: issuer,
    sub: subject,
    azp: 'web-frontend',
    sid,
  }
  const accessToken = jwt({
    ...common,
    jti: randomUUID(),
    aud: ['account', 'orders-api'],
    typ: 'Bearer',
    acr: '1',
    realm_access: { roles: ['offline_access', 'uma_authorization', 'customer'] },
    'allowed-origins': ['https://shop.example.com'],
    scope: 'openid profile email',
    name: profile.name,
    preferred_username: profile.preferred_username,
    email: profile.email,
  })
  const idToken = jwt({
    ...common,
    ...profile,
    jti: randomUUID(),
    aud: 'web-frontend',
    typ: 'ID',
    nonce: randomBytes(32).toString('base64url'),
    at_hash: randomBytes(16).toString('base64url'),
  })
  for (const token of [accessToken, idToken]) assert.ok(token.length >= 1_200, `${token.length}`)
  const obtainedAt = Date.now()
  return {
    issuer,
    subject,
    sid,
    claims: { sub: subject, sid, acr: '1', auth_time: now, typ: 'ID', ...profile },
    sessionState: `${randomBytes(32).toString('base64url')}.${randomUUID()}`,
    tokenSet: {
      accessToken,
      idToken,
      refreshToken,
      tokenType: 'bearer',
      obtainedAt,
      expiresAt: obtainedAt + 300_000,
      scope: 'openid profile email',
    },
  }
}

function jwtRefreshToken(): string {
  return jwt({ jti: randomUUID(), typ: 'Refresh', sub: randomUUID(), sid: randomUUID() }, 64)
}

/** With a signature as long and random as that of RS256. */
function jwt(payload: object, signatureBytes = 256): string {
  const kid = randomBytes(32).toString('base64url')
  const parts = [{ alg: 'RS256', typ: 'JWT', kid }, payload].map((part) => Buffer.from(JSON.stringify(part)))
  return [...parts, randomBytes(signatureBytes)].map((part) => part.toString('base64url')).join('.')
}
