import assert from 'node:assert/strict'
import type { SessionStore } from '../../plugins/session-store/store.ts'
import {
  assertNotified,
  create,
  HOUR,
  idsOf,
  MINUTE,
  type PromiseOf,
  sealedAs,
  untilNotified,
} from './contract-support.ts'

export function endsSessions(promise: PromiseOf): void {
  promise('ending a session returns the newest sealed record, once', async ({ store, other, id }) => {
    await create(store, id)
    await other.replace(id, sealedAs('newest'), 1)

    assert.deepEqual(await store.destroy(id), { sealed: sealedAs('newest'), version: 2 })

    assert.equal(await other.read(id), undefined)
    assert.equal(await other.destroy(id), undefined)
  })

  promise('a session is ended only at the given version', async ({ store, id }) => {
    await create(store, id)
    await store.replace(id, sealedAs('second'), 1)

    assert.equal(await store.destroy(id, 1), undefined)
    assert.equal((await store.read(id))?.version, 2)
    assert.deepEqual(await store.destroy(id, 2), { sealed: sealedAs('second'), version: 2 })
    assert.equal(await store.read(id), undefined)
  })

  promise(
    'every process can tell why a session was ended, for as long as it would have lived',
    async ({ store, other, id, advance }) => {
      for (const each of [`${id}-1`, `${id}-2`, `${id}-3`, `${id}-4`])
        await create(store, each, { indexes: [`${id}-subject`], ttlMs: 10 * MINUTE })

      await store.trim(`${id}-subject`, 3, `${id}-4`, 'trimmed')
      await store.destroy(`${id}-2`, undefined, 'logout')
      await store.destroy(`${id}-2`, undefined, 'again')
      await other.destroyBy(`${id}-subject`, 'notice')

      assert.equal(await other.endReason(`${id}-1`), 'trimmed')
      assert.equal(await other.endReason(`${id}-2`), 'logout')
      assert.equal(await store.endReason(`${id}-3`), 'notice')
      assert.equal(await store.endReason(`${id}-5`), undefined)
      await advance(9 * MINUTE)
      assert.equal(await store.endReason(`${id}-2`), 'logout')
      await advance(1 * MINUTE)
      assert.equal(await store.endReason(`${id}-2`), undefined)
    },
  )

  promise('ending by index ends every session in it, and counts those that were alive', async (world) => {
    const { store, other, id, advance } = world
    const [subject, elsewhere] = [`${id}-subject`, `${id}-elsewhere`]
    await create(store, `${id}-1`, { indexes: [subject, `${id}-sid-1`] })
    await create(other, `${id}-2`, { indexes: [subject], ttlMs: MINUTE })
    await create(store, `${id}-3`, { indexes: [subject, `${id}-sid-3`] })
    await create(store, `${id}-4`, { indexes: [elsewhere] })
    await create(store, `${id}-5`, { indexes: [subject] })
    await store.destroy(`${id}-5`)
    await advance(2 * MINUTE)

    assert.equal((await other.destroyBy(subject)).length, 2)

    assert.equal(await store.read(`${id}-1`), undefined)
    assert.equal(await store.read(`${id}-3`), undefined)
    assert.ok(await store.read(`${id}-4`))
    assert.equal((await store.destroyBy(subject)).length, 0)
    assert.equal((await store.destroyBy(`${id}-sid-1`)).length, 0)
  })

  promise('an index finds a session for its whole lifetime, however often it is touched', async (world) => {
    const { store, id, advance } = world
    await create(store, id, { indexes: [`${id}-subject`], ttlMs: HOUR })
    for (let hour = 0; hour < 9; hour++) {
      await advance(50 * MINUTE)
      await store.touch(id, HOUR)
    }
    assert.equal((await store.destroyBy(`${id}-subject`)).length, 1)
  })

  promise(
    'a short session in an index does not take a long one out of it',
    async ({ store, id, advance }) => {
      const index = `${id}-subject`
      await create(store, `${id}-long`, { indexes: [index], ttlMs: 5 * HOUR })
      await create(store, `${id}-short`, { indexes: [index], ttlMs: MINUTE })
      await advance(HOUR)
      await create(store, `${id}-new`, { indexes: [index], ttlMs: MINUTE })
      assert.equal((await store.destroyBy(index)).length, 2)
    },
  )

  promise('an ended session leaves its indexes, whatever ended it', async (world) => {
    const { store, other, id, advance } = world
    const index = `${id}-subject`
    await create(store, `${id}-out`, { indexes: [index] })
    await create(store, `${id}-idle`, { indexes: [index], ttlMs: MINUTE })
    await store.destroy(`${id}-out`)
    // After that time identifiers can be used again, and a stale entry would find them.
    await advance(10 * MINUTE)
    await create(other, `${id}-out`)
    await create(other, `${id}-idle`)
    assert.ok((await store.read(`${id}-out`)) && (await store.read(`${id}-idle`)))
    assert.equal((await store.destroyBy(index)).length, 0)
  })

  promise('a session that ends while it is touched leaves its index', async (world) => {
    const { store, other, id, advance } = world
    await create(store, id, { indexes: [`${id}-subject`] })
    await Promise.all([store.touch(id, 5 * HOUR), other.destroy(id), store.touch(id, 5 * HOUR)])
    await advance(10 * MINUTE)
    await create(other, id)
    assert.ok(await store.read(id))
    assert.equal((await store.destroyBy(`${id}-subject`)).length, 0)
  })

  promise('an index with more sessions than one batch is ended completely', async ({ store, id }) => {
    const ids = Array.from({ length: 230 }, (_, i) => `${id}-${i}`)
    await Promise.all(ids.map((one) => create(store, one, { indexes: [`${id}-subject`] })))
    assert.equal((await store.destroyBy(`${id}-subject`)).length, 230)
  })
}

export function limitsSessions(promise: PromiseOf): void {
  promise(
    'trimming an index to a limit keeps the newest sessions, and names the ended ones',
    async (world) => {
      const { store, other, id } = world
      const index = `${id}-subject`
      await create(store, `${id}-1`, { indexes: [`${id}-sid`, index], ttlMs: 3 * HOUR })
      await create(other, `${id}-2`, { indexes: [index] })
      await create(store, `${id}-3`, { indexes: [index] })
      // Used last, although the oldest.
      await store.touch(`${id}-1`, 5 * HOUR)
      await create(other, `${id}-4`, { indexes: [index] })

      assert.deepEqual(await store.trim(index, 4, `${id}-4`), [])
      assert.deepEqual(idsOf(await other.trim(index, 2, `${id}-4`)), [`${id}-1`, `${id}-2`])

      assert.equal(await store.read(`${id}-1`), undefined)
      assert.ok((await store.read(`${id}-3`)) && (await store.read(`${id}-4`)))
      assert.equal((await store.destroyBy(`${id}-sid`)).length, 0)
      assert.equal((await store.destroyBy(index)).length, 2)
    },
  )

  promise('waiters are notified when a session is trimmed', async ({ store, other, id }) => {
    await create(store, id, { indexes: [`${id}-subject`] })
    await create(store, `${id}-new`, { indexes: [`${id}-subject`] })
    await untilNotified(store, other, id)
    await assertNotified(other, id, () => store.trim(`${id}-subject`, 1, `${id}-new`))
  })

  promise('a user with thousands of sessions before the limit keeps the newest', async ({ store, id }) => {
    const ids = Array.from({ length: 1_203 }, (_, i) => `${id}-${i}`)
    for (const one of ids) await create(store, one, { indexes: [`${id}-subject`] })
    const newest = ids.at(-1) ?? ''
    assert.equal((await store.trim(`${id}-subject`, 3, newest)).length, 1_200)
    assert.deepEqual(await store.trim(`${id}-subject`, 3, newest), [])
    for (const one of ids.slice(-3)) assert.ok(await store.read(one), one)
  })

  promise('sessions that ended or expired are not counted', async ({ store, id, advance }) => {
    const indexes = [`${id}-subject`]
    await create(store, `${id}-idle`, { indexes, ttlMs: MINUTE })
    await create(store, `${id}-out`, { indexes })
    await create(store, `${id}-1`, { indexes })
    await advance(MINUTE)
    await store.destroy(`${id}-out`)
    await create(store, `${id}-2`, { indexes })
    assert.deepEqual(await store.trim(`${id}-subject`, 2, `${id}-2`), [])
    assert.equal((await store.destroyBy(`${id}-subject`)).length, 2)
  })

  promise(
    'of many sessions started in parallel as many stay as the limit allows, and each ended one is named once',
    async (world) => {
      const { store, other, id } = world
      const ids = Array.from({ length: 20 }, (_, i) => `${id}-${i}`)
      const named = await Promise.all(
        ids.map((one, i) => createLimited(i % 2 ? store : other, one, `${id}-subject`, 3)),
      )
      const living = await Promise.all(ids.map((one) => store.read(one)))
      assert.equal(living.filter((record) => record).length, 3)
      assert.deepEqual(named.flat().sort(), ids.filter((_one, i) => !living[i]).sort())
    },
  )

  promise(
    'of two sessions started in parallel one stays with a limit of one',
    async ({ store, other, id }) => {
      for (let round = 0; round < 20; round++) {
        const ids = [`${id}-${round}-a`, `${id}-${round}-b`]
        await Promise.all(ids.map((one, i) => createLimited(i % 2 ? store : other, one, `${id}-${round}`, 1)))
        const living = await Promise.all(ids.map((one) => store.read(one)))
        assert.equal(living.filter((record) => record).length, 1, `round ${round}`)
      }
    },
  )

  promise('a session that has just begun stays, although another began after it', async (world) => {
    const { store, other, id } = world
    const index = `${id}-subject`
    for (const one of [`${id}-old`, id, `${id}-after`]) await create(store, one, { indexes: [index] })
    assert.deepEqual(idsOf(await other.trim(index, 1, id)), [`${id}-old`])
    assert.ok((await store.read(id)) && (await store.read(`${id}-after`)))
  })
}

async function createLimited(store: SessionStore, id: string, index: string, max: number): Promise<string[]> {
  await create(store, id, { indexes: [index] })
  return idsOf(await store.trim(index, max, id))
}
