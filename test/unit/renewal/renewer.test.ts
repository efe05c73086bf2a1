import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RenewableToken } from '../../../plugins/renewal/renewable-token.ts'
import type { Attempt } from '../../../plugins/renewal/renewal-lock.ts'
import { createRenewer } from '../../../plugins/renewal/renewer.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { createFakeClock } from '../../support/fake-clock.ts'
import { issuerTimeoutMs, lifetimeMs, refreshBeforeExpirationMs, settle } from './support.ts'

interface Kept {
  version: number
  obtainedAt: number
  expiresAt: number
  renewedAt: number
}

const log = { trace() {}, debug() {}, info() {}, warn() {} }

/** A token that is kept in a variable, of neither a session nor a client, and gateways that renew it. */
function createWorld() {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock })
  const world = {
    clock,
    store,
    kept: keptFor(lifetimeMs, 1),
    grants: 0,
    /** What the next grant waits for. */
    held: Promise.resolve(),
    keptFor,
    startGateway: () =>
      createRenewer<Kept>({
        store,
        clock,
        issuerTimeoutMs,
        refreshBeforeExpirationMs,
        onWaiting() {},
      }),
    token: methods(),
  }
  return world

  function keptFor(ms: number, version: number): Kept {
    const now = clock.now()
    return { version, obtainedAt: now, expiresAt: now + ms, renewedAt: now }
  }

  function methods(): RenewableToken<Kept> {
    return {
      key: 'key',
      lockId: 'lock',
      log,
      times: (kept) => ({ ...kept, canRenew: true }),
      isNewer: (current, seen) => current.version !== seen.version,
      read: async () => world.kept,
      async grant(current): Promise<Attempt<Kept>> {
        world.grants++
        await world.held
        world.kept = keptFor(lifetimeMs, current.version + 1)
        return { outcome: 'obtained', value: world.kept }
      },
    }
  }
}

function versionOf(result: { outcome: string; value?: Kept }) {
  return result.value?.version ?? result.outcome
}

test('a token that is kept anywhere is renewed once, however many wait for it', async () => {
  const world = createWorld()
  const { token, clock, startGateway } = world
  const seen = world.kept
  await clock.advance(lifetimeMs)
  const gateways = [startGateway(), startGateway()]
  const results = await Promise.all(
    gateways.flatMap((gateway) => [gateway.usable(token, seen), gateway.usable(token, seen)]),
  )
  assert.deepEqual(results.map(versionOf), [2, 2, 2, 2])
  assert.equal(world.grants, 1)
})

test('a request whose token was refused is not content with a renewal that only brings that token', async () => {
  const world = createWorld()
  const { token, startGateway, store } = world
  const before = world.kept
  world.kept = world.keptFor(lifetimeMs, 2)
  const refused = world.kept
  const asked = Promise.withResolvers<void>()
  const slow = {
    ...token,
    async read() {
      await asked.promise
      return world.kept
    },
  }
  const gateway = startGateway()
  const first = gateway.forceRenewal(slow, before, 'api')
  const second = gateway.forceRenewal(token, refused, 'api')
  await settle()
  asked.resolve()
  assert.deepEqual([versionOf(await first), versionOf(await second)], [2, 3])
  assert.equal(await store.addMarker('forced-renewal:key:api', 1), false)
})

test('a forced renewal that finds a newer token which has expired meanwhile renews it without asking again', async () => {
  const world = createWorld()
  const { token, clock } = world
  const refused = world.kept
  await clock.advance(10_000)
  world.kept = world.keptFor(1_000, 2)
  await clock.advance(1_000)
  let asked = 0
  const gateway = createRenewer<Kept>({
    store: {
      ...world.store,
      async addMarker() {
        asked++
        return false
      },
    },
    clock,
    issuerTimeoutMs,
    refreshBeforeExpirationMs,
    onWaiting() {},
  })
  assert.equal(versionOf(await gateway.forceRenewal(token, refused, 'api')), 3)
  assert.equal(asked, 0)
})

test('what cannot be renewed is ended if it says how, and is otherwise tried', async () => {
  const world = createWorld()
  const { token, clock, startGateway } = world
  const seen = world.kept
  await clock.advance(lifetimeMs)
  const dead = { ...token, times: (kept: Kept) => ({ ...kept, canRenew: kept.version > 1 }) }
  const ending = { ...dead, end: async () => ({ outcome: 'ended' as const, tokenError: 'expired' }) }
  const gateway = startGateway()
  assert.equal(versionOf(await gateway.usable(ending, seen)), 'ended')
  assert.equal(world.grants, 0)
  assert.equal(versionOf(await gateway.usable(dead, seen)), 2)
})

test('what keeps a token is gone: that is said, and no grant is tried', async () => {
  const world = createWorld()
  await world.clock.advance(lifetimeMs)
  const gone = { ...world.token, read: async () => undefined }
  assert.equal(versionOf(await world.startGateway().usable(gone, world.kept)), 'gone')
  assert.equal(world.grants, 0)
})
