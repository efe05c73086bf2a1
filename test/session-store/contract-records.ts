import assert from 'node:assert/strict'
import { assertAbout, create, HOUR, MINUTE, type PromiseOf, sealedAs } from './contract-support.ts'

export function keepsRecords(promise: PromiseOf): void {
  promise('a new record is read with version 1 and its time to live', async ({ store, other, id }) => {
    await create(store, id, { sealed: sealedAs('first'), ttlMs: HOUR })

    const record = await other.read(id)

    assert.deepEqual({ ...record, ttlMs: 0 }, { sealed: sealedAs('first'), version: 1, ttlMs: 0 })
    assertAbout(record?.ttlMs, HOUR)
  })

  promise('a session that never existed is not found', async ({ store, id }) => {
    assert.equal(await store.read(id), undefined)
  })

  promise('a record expires', async ({ store, id, advance }) => {
    await create(store, id, { ttlMs: 10 * MINUTE })
    await advance(9 * MINUTE)
    assertAbout((await store.read(id))?.ttlMs, MINUTE)

    await advance(MINUTE)

    assert.equal(await store.read(id), undefined)
  })

  promise(
    'an existing record is not created again, as a late retry must not overwrite a renewal',
    async (world) => {
      const { store, other, id } = world
      await create(store, id)
      await store.replace(id, sealedAs('renewed'), 1)

      await create(other, id)

      const record = await store.read(id)
      assert.equal(record?.version, 2)
      assert.deepEqual(record?.sealed, sealedAs('renewed'))
    },
  )

  promise('an ended session is not created again, as a late retry must not revive it', async (world) => {
    const { store, other, id } = world
    await create(store, id)
    await other.destroy(id)

    await create(store, id)

    assert.equal(await store.read(id), undefined)
  })

  promise(
    'a put value is found by all gateways, and replaces the previous one',
    async ({ store, other, id, advance }) => {
      await store.put(id, sealedAs('first'), HOUR)
      await other.put(id, sealedAs('second'), MINUTE)
      assert.deepEqual((await store.read(id))?.sealed, sealedAs('second'))
      await advance(MINUTE)
      assert.equal(await store.read(id), undefined)
    },
  )

  promise("touch extends a record's time to live without rewriting it", async ({ store, id, advance }) => {
    await create(store, id, { sealed: sealedAs('first'), ttlMs: 10 * MINUTE })
    await advance(9 * MINUTE)

    await store.touch(id, 10 * MINUTE)
    await advance(9 * MINUTE)

    const record = await store.read(id)
    assert.deepEqual(record?.sealed, sealedAs('first'))
    assert.equal(record?.version, 1)
    assertAbout(record?.ttlMs, MINUTE)
  })

  promise('touch does not revive a session that ended or expired', async ({ store, id, advance }) => {
    await create(store, id)
    await store.destroy(id)
    await store.touch(id, HOUR)
    assert.equal(await store.read(id), undefined)

    await create(store, `${id}-2`, { ttlMs: MINUTE })
    await advance(MINUTE)
    await store.touch(`${id}-2`, HOUR)
    assert.equal(await store.read(`${id}-2`), undefined)
  })

  promise('a record of any bytes is read back unchanged', async ({ store, other, id }) => {
    const sealed = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256))
    await create(store, id, { sealed })
    assert.deepEqual((await other.read(id))?.sealed, sealed)
    await store.replace(id, sealed.reverse(), 1)
    assert.deepEqual(await other.destroy(id), { sealed, version: 2 })
  })
}

export function comparesAndSets(promise: PromiseOf): void {
  promise('a replacement of a version that the store has lost is stored', async ({ store, other, id }) => {
    await create(store, id)
    const lost = 2

    const result = await store.replace(id, sealedAs('newest'), lost)

    assert.deepEqual(result, { outcome: 'replaced', version: 3 })
    assert.deepEqual((await other.read(id))?.sealed, sealedAs('newest'))
    assert.deepEqual(await other.replace(id, sealedAs('older'), 1), { outcome: 'conflict' })
  })

  promise('each replacement increments the version', async ({ store, other, id }) => {
    await create(store, id)
    assert.deepEqual(await store.replace(id, sealedAs('second'), 1), { outcome: 'replaced', version: 2 })
    assert.deepEqual(await other.replace(id, sealedAs('third'), 2), { outcome: 'replaced', version: 3 })
    const record = await store.read(id)
    assert.deepEqual(record?.sealed, sealedAs('third'))
    assert.equal(record?.version, 3)
  })

  promise('replacing keeps the time to live', async ({ store, id, advance }) => {
    await create(store, id, { ttlMs: 10 * MINUTE })
    await advance(4 * MINUTE)
    await store.replace(id, sealedAs('second'), 1)
    assertAbout((await store.read(id))?.ttlMs, 6 * MINUTE)
  })

  promise('a write that derives from an old version is a conflict and changes nothing', async (world) => {
    const { store, other, id } = world
    await create(store, id)
    await other.replace(id, sealedAs('theirs'), 1)

    assert.deepEqual(await store.replace(id, sealedAs('mine'), 1), { outcome: 'conflict' })

    assert.deepEqual((await store.read(id))?.sealed, sealedAs('theirs'))
  })

  promise('of many writes that derive from one version, one succeeds', async ({ store, other, id }) => {
    await create(store, id)
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).replace(id, sealedAs(`write ${i}`), 1)),
    )
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'replaced').length, 1)
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'conflict').length, 19)
  })

  promise('a write that succeeded, but whose answer was lost, can be retried', async ({ store, id }) => {
    await create(store, id)
    await store.replace(id, sealedAs('second'), 1)

    assert.deepEqual(await store.replace(id, sealedAs('second'), 1), { outcome: 'replaced', version: 2 })

    await store.replace(id, sealedAs('third'), 2)
    assert.deepEqual(await store.replace(id, sealedAs('second'), 1), { outcome: 'conflict' })
  })

  promise('replace never creates: a session that ended stays dead', async ({ store, other, id, advance }) => {
    assert.deepEqual(await store.replace(id, sealedAs('zombie'), 0), { outcome: 'gone' })

    await create(store, id)
    await other.destroy(id)
    assert.deepEqual(await store.replace(id, sealedAs('zombie'), 1), { outcome: 'gone' })

    await create(store, id, { ttlMs: MINUTE })
    await advance(MINUTE)
    assert.deepEqual(await store.replace(id, sealedAs('zombie'), 1), { outcome: 'gone' })

    assert.equal(await store.read(id), undefined)
  })
}
