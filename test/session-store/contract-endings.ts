import assert from 'node:assert/strict'
import { create, HOUR, MINUTE, type PromiseOf, sealedAs } from './contract-support.ts'

export function endsSessions(promise: PromiseOf): void {
  promise(
    'it ends the session and gives the newest sealed record back, once',
    async ({ store, other, id }) => {
      await create(store, id)
      await other.replace(id, sealedAs('newest'), 1)

      assert.deepEqual(await store.destroy(id), { sealed: sealedAs('newest'), version: 2 })

      assert.equal(await other.read(id), undefined)
      assert.equal(await other.destroy(id), undefined)
    },
  )

  promise('only that version is ended, when one is named', async ({ store, id }) => {
    await create(store, id)
    await store.replace(id, sealedAs('second'), 1)

    assert.equal(await store.destroy(id, 1), undefined)
    assert.equal((await store.read(id))?.version, 2)
    assert.deepEqual(await store.destroy(id, 2), { sealed: sealedAs('second'), version: 2 })
    assert.equal(await store.read(id), undefined)
  })

  promise('by index, every session in it ends, and those that live are counted', async (world) => {
    const { store, other, id, advance } = world
    const [subject, elsewhere] = [`${id}-subject`, `${id}-elsewhere`]
    await create(store, `${id}-1`, { indexes: [subject, `${id}-sid-1`] })
    await create(other, `${id}-2`, { indexes: [subject], ttlMs: MINUTE })
    await create(store, `${id}-3`, { indexes: [subject, `${id}-sid-3`] })
    await create(store, `${id}-4`, { indexes: [elsewhere] })
    await create(store, `${id}-5`, { indexes: [subject] })
    await store.destroy(`${id}-5`)
    await advance(2 * MINUTE)

    assert.equal(await other.destroyBy(subject), 2)

    assert.equal(await store.read(`${id}-1`), undefined)
    assert.equal(await store.read(`${id}-3`), undefined)
    assert.ok(await store.read(`${id}-4`))
    assert.equal(await store.destroyBy(subject), 0)
    assert.equal(await store.destroyBy(`${id}-sid-1`), 0)
  })

  promise('an index finds a session for as long as it lives, however often it is touched', async (world) => {
    const { store, id, advance } = world
    await create(store, id, { indexes: [`${id}-subject`], ttlMs: HOUR })
    for (let hour = 0; hour < 9; hour++) {
      await advance(50 * MINUTE)
      await store.touch(id, HOUR)
    }
    assert.equal(await store.destroyBy(`${id}-subject`), 1)
  })

  promise(
    'a short session in an index does not take a long one out of it',
    async ({ store, id, advance }) => {
      const index = `${id}-subject`
      await create(store, `${id}-long`, { indexes: [index], ttlMs: 5 * HOUR })
      await create(store, `${id}-short`, { indexes: [index], ttlMs: MINUTE })
      await advance(HOUR)
      await create(store, `${id}-new`, { indexes: [index], ttlMs: MINUTE })
      assert.equal(await store.destroyBy(index), 2)
    },
  )

  promise('an index of more sessions than fit into one batch is ended whole', async ({ store, id }) => {
    const ids = Array.from({ length: 230 }, (_, i) => `${id}-${i}`)
    await Promise.all(ids.map((one) => create(store, one, { indexes: [`${id}-subject`] })))
    assert.equal(await store.destroyBy(`${id}-subject`), 230)
  })
}
