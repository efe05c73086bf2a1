import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantOutcome } from '../../../plugins/issuer/grants.ts'
import type { TokenParameters } from '../../../plugins/issuer/token-set.ts'
import { type Metrics, noMetrics } from '../../../plugins/observability/metrics.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { StoreUnavailableError } from '../../../plugins/session-store/store.ts'
import { createClientTokens } from '../../../plugins/tokens/client-tokens.ts'
import { createFakeClock } from '../../support/fake-clock.ts'
import { failed, lifetimeMs, rejectsWith, settle } from '../renewal/support.ts'

const first = Buffer.alloc(32, 1)
const second = Buffer.alloc(32, 2)
const log = { trace() {}, debug() {}, info() {}, warn() {} }

/** Gateways that share a store and one client at an issuer with scripted answers. */
function createWorld() {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  const asked: TokenParameters[] = []
  const answers: (GrantOutcome | Promise<GrantOutcome>)[] = []
  const issuer = {
    clientId: 'gateway',
    tokenEndpoint: () => 'https://issuer.example/token',
    async clientCredentials(parameters: TokenParameters): Promise<GrantOutcome> {
      asked.push(parameters)
      const tokens = { accessToken: `client-${asked.length}`, tokenType: 'Bearer', expiresInMs: lifetimeMs }
      return answers.shift() ?? { outcome: 'granted', tokens }
    },
  }
  return {
    clock,
    store,
    asked,
    answers,
    startGateway: ({
      keys = [first],
      issuerUrl = 'https://issuer.example',
      clientId = issuer.clientId,
      ...parts
    }: Parts = {}) =>
      createClientTokens({
        metrics: { ...noMetrics, ...parts.metrics },
        store: { ...store, ...parts.store },
        issuer: { ...issuer, clientId },
        issuerUrl,
        dpop: false,
        keys,
        clock,
        random: () => 0,
        issuerTimeoutMs: 5_000,
        refreshBeforeExpirationMs: 60_000,
      }),
  }
}

interface Parts {
  keys?: [Buffer, ...Buffer[]]
  issuerUrl?: string
  clientId?: string
  store?: Partial<ReturnType<typeof createMemoryStore>>
  metrics?: Partial<Metrics>
}

test('gateways that share a store share a token, with any number of parallel requests', async () => {
  const { startGateway, asked } = createWorld()
  const gateways = [startGateway(), startGateway(), startGateway()]
  const tokens = await Promise.all(
    gateways.flatMap((gateway) => [gateway.usable({}, log), gateway.usable({}, log)]),
  )
  assert.deepEqual(new Set(tokens.map(({ accessToken }) => accessToken)), new Set(['client-1']))
  assert.equal(asked.length, 1)
})

test('each scope, resource, audience, issuer and client has a token of its own', async () => {
  const { startGateway, asked } = createWorld()
  const gateway = startGateway()
  const wanted = [{}, { scope: 'a' }, { scope: 'b' }, { resource: 'urn:a' }, { audience: 'a' }]
  for (const parameters of wanted) await gateway.usable(parameters, log)
  await startGateway({ issuerUrl: 'https://other.example' }).usable({}, log)
  await startGateway({ clientId: 'another' }).usable({}, log)
  assert.deepEqual(asked, [...wanted, {}, {}])
})

test('the stored token is sealed, and opens with any of the keys', async () => {
  const { startGateway, asked, store } = createWorld()
  let sealed: Buffer = Buffer.alloc(0)
  const put: typeof store.put = (id, stored, ttlMs) => {
    sealed = stored
    return store.put(id, stored, ttlMs)
  }
  await startGateway({ store: { put } }).usable({}, log)
  assert.ok(sealed.length > 0 && !sealed.includes('client-1'))
  assert.equal((await startGateway({ keys: [second, first] }).usable({}, log)).accessToken, 'client-1')
  assert.equal(asked.length, 1)
  assert.equal((await startGateway({ keys: [second] }).usable({}, log)).accessToken, 'client-2')
})

test('one gateway renews early, and the others use what it has stored', async () => {
  const { startGateway, clock, asked } = createWorld()
  const [here, there] = [startGateway(), startGateway()]
  await here.usable({}, log)
  await there.usable({}, log)
  await clock.advance(lifetimeMs - 30_000)
  assert.equal((await here.usable({}, log)).accessToken, 'client-1')
  await here.idle()
  assert.equal((await there.usable({}, log)).accessToken, 'client-1')
  await there.idle()
  assert.equal((await there.usable({}, log)).accessToken, 'client-2')
  assert.equal(asked.length, 2)
})

test('after a failure all gateways back off, and use a token that is still usable', async () => {
  const { startGateway, clock, answers, asked } = createWorld()
  const [here, there] = [startGateway(), startGateway()]
  await here.usable({}, log)
  await clock.advance(lifetimeMs - 30_000)
  answers.push(failed('http_503'))
  await here.usable({}, log)
  await here.idle()
  assert.equal((await here.usable({}, log)).accessToken, 'client-1')
  await here.idle()
  assert.equal(asked.length, 2)

  await clock.advance(30_000)
  answers.push(failed('http_429', 20_000))
  await rejectsWith(there.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
  const error = await rejectsWith(here.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
  assert.equal(error.retryAfterMs, 20_000)
  assert.equal(asked.length, 3)
})

test('the back-off doubles with each failure of any gateway', async () => {
  const { startGateway, clock, answers } = createWorld()
  const gateways = [startGateway(), startGateway()]
  for (const expectedMs of [1_000, 2_000, 4_000]) {
    const gateway = gateways[answers.length % 2] ?? assert.fail()
    answers.push(failed('http_503'))
    await rejectsWith(gateway.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
    for (const other of gateways) {
      const error = await rejectsWith(other.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
      assert.equal(error.retryAfterMs, expectedMs)
    }
    gateways.reverse()
    await clock.advance(expectedMs)
  }
})

test('during a back-off, requests with a usable token do not ask the store for the lock', async () => {
  const { startGateway, clock, answers, store } = createWorld()
  let locks = 0
  const lock: typeof store.lock = (...wanted) => {
    locks++
    return store.lock(...wanted)
  }
  const gateway = startGateway({ store: { lock } })
  await gateway.usable({}, log)
  await clock.advance(lifetimeMs - 30_000)
  answers.push(failed('http_503', 10_000))
  for (let i = 0; i < 3; i++) {
    await gateway.usable({}, log)
    await gateway.idle()
  }
  assert.equal(locks, 2)
  await clock.advance(10_000)
  await gateway.usable({}, log)
  await gateway.idle()
  assert.equal((await gateway.usable({}, log)).accessToken, 'client-3')
  assert.equal(locks, 3)
})

test('an issuer that answers with the refused token again is no reason to repeat the request', async () => {
  const { startGateway, answers, asked } = createWorld()
  const gateway = startGateway()
  const { accessToken } = await gateway.usable({}, log)
  answers.push({ outcome: 'granted', tokens: { accessToken, tokenType: 'Bearer', expiresInMs: lifetimeMs } })
  assert.equal(await gateway.forceRenewal({ accessToken, parameters: {} }, '/api', log), undefined)
  assert.equal(asked.length, 2)
})

test('a stored token that is about to expire is renewed before it is used', async () => {
  const { startGateway, clock, asked } = createWorld()
  const [here, there] = [startGateway(), startGateway()]
  await here.usable({}, log)
  await clock.advance(lifetimeMs - 1_000)
  // Not known to this process yet, and no longer usable.
  assert.equal((await there.usable({}, log)).accessToken, 'client-2')
  assert.equal(asked.length, 2)
})

test('a token whose grant took most of its lifetime is used, and not renewed once more', async () => {
  const { startGateway, clock, answers, asked } = createWorld()
  const { promise, resolve } = Promise.withResolvers<GrantOutcome>()
  answers.push(promise)
  const waiting = startGateway().usable({}, log)
  await settle()
  await clock.advance(3_000)
  resolve({ outcome: 'granted', tokens: { accessToken: 'short', tokenType: 'Bearer', expiresInMs: 3_500 } })
  assert.equal((await waiting).accessToken, 'short')
  assert.equal(asked.length, 1)
})

test('a request waits for the issuer up to its timeout, and a later answer is kept', async () => {
  const { startGateway, clock, answers, asked } = createWorld()
  const { promise, resolve } = Promise.withResolvers<GrantOutcome>()
  answers.push(promise)
  const gateway = startGateway()
  const waiting = rejectsWith(gateway.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await clock.advance(5_000)
  await waiting
  resolve({
    outcome: 'granted',
    tokens: { accessToken: 'late', tokenType: 'Bearer', expiresInMs: lifetimeMs },
  })
  await gateway.idle()
  assert.equal((await gateway.usable({}, log)).accessToken, 'late')
  assert.equal(asked.length, 1)
})

test('without the store no token is requested, and a known one is used', async () => {
  const { startGateway, clock, asked } = createWorld()
  const lock = async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  }
  const gateway = startGateway()
  await assert.rejects(startGateway({ store: { lock } }).usable({}, log), { code: 'STORE_UNAVAILABLE' })
  assert.equal(asked.length, 0)
  await gateway.usable({}, log)
  await clock.advance(1_000)
  assert.equal((await gateway.usable({}, log)).accessToken, 'client-1')
})

test('a request that needs a token does not fail because of a parallel forced renewal that is not permitted', async () => {
  const { startGateway, store, clock } = createWorld()
  const added = Promise.withResolvers<boolean>()
  const gateway = startGateway({ store: { ...store, addMarker: () => added.promise } })
  const { accessToken } = await gateway.usable({}, log)
  const refusal = gateway.forceRenewal({ accessToken, parameters: {} }, '/api', log)
  await settle()
  await clock.advance(lifetimeMs)
  const needed = gateway.usable({}, log)
  added.resolve(false)
  assert.equal((await needed).accessToken, 'client-2')
  await refusal.catch(() => {})
})

test('a refused token is renewed once, unless it has been replaced meanwhile', async () => {
  const { startGateway, asked, clock } = createWorld()
  const gateway = startGateway()
  const old = await gateway.usable({}, log)
  const refused = { accessToken: old.accessToken, parameters: {} }
  assert.equal((await gateway.forceRenewal(refused, '/api', log))?.accessToken, 'client-2')
  assert.equal((await gateway.forceRenewal(refused, '/api', log))?.accessToken, 'client-2')
  assert.equal(asked.length, 2)

  const newer = { accessToken: 'client-2', parameters: {} }
  assert.equal(await gateway.forceRenewal(newer, '/api', log), undefined)
  assert.equal((await gateway.forceRenewal(newer, '/other', log))?.accessToken, 'client-3')
  await clock.advance(60_000)
  const newest = { accessToken: 'client-3', parameters: {} }
  assert.equal((await gateway.forceRenewal(newest, '/api', log))?.accessToken, 'client-4')
})

test('requests that wait for a token get the error of what delayed them: the store or the issuer', async () => {
  for (const late of ['store', 'issuer']) {
    const { startGateway, answers, clock } = createWorld()
    const never = () => new Promise<never>(() => {})
    if (late === 'issuer') answers.push(never())
    const gateway = startGateway(late === 'store' ? { store: { lock: never } } : {})
    const waiting = Promise.allSettled([gateway.usable({}, log), gateway.usable({}, log)])
    await settle()
    await clock.advance(5_000)

    for (const result of await waiting) {
      assert.ok(result.status === 'rejected')
      if (late === 'store') assert.ok(result.reason instanceof StoreUnavailableError)
      else assert.equal(result.reason.code, 'BFF_ISSUER_UNAVAILABLE')
    }
  }
})

test('a token that can not be shared is used all the same', async () => {
  const { startGateway } = createWorld()
  const put = () => Promise.reject(new StoreUnavailableError(new Error('on purpose')))
  const token = await startGateway({ store: { put } }).usable({}, log)
  assert.equal(token.accessToken, 'client-1')
})

test('a token without a known lifetime is shared for a day', async () => {
  const { startGateway, answers, asked, clock } = createWorld()
  answers.push({ outcome: 'granted', tokens: { accessToken: 'unlimited', tokenType: 'Bearer' } })
  await startGateway().usable({}, log)
  for (const [ms, expected] of [
    [24 * 3_600_000 - 1, 'unlimited'],
    [1, 'client-2'],
  ] as const) {
    await clock.advance(ms)
    assert.equal((await startGateway().usable({}, log)).accessToken, expected)
  }
  assert.equal(asked.length, 2)
})

test('an issuer that grants the refused token again does not get the request repeated', async () => {
  const { startGateway, answers } = createWorld()
  const gateway = startGateway()
  const refused = await gateway.usable({}, log)
  const tokens = { ...refused, expiresInMs: lifetimeMs }
  answers.push({ outcome: 'granted', tokens })
  assert.equal(
    await gateway.forceRenewal({ accessToken: refused.accessToken, parameters: {} }, 'api', log),
    undefined,
  )
})

test('each grant is counted by its outcome', async () => {
  const { startGateway, answers, clock } = createWorld()
  const outcomes: string[] = []
  const gateway = startGateway({ metrics: { renewalDone: (outcome) => void outcomes.push(outcome) } })
  answers.push(failed('http_503'))
  await rejectsWith(gateway.usable({}, log), 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(60_000)
  await gateway.usable({}, log)
  assert.deepEqual(outcomes, ['failed', 'renewed'])
})
