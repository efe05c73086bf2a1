import assert from 'node:assert/strict'
import type { SessionStore } from '../../plugins/session-store/store.ts'
import { create, HOUR, idsOf, MINUTE, type PromiseOf, sealedAs } from './contract-support.ts'

export function listsSessions(promise: PromiseOf): void {
  promise('an index lists its living sessions, the oldest first', async ({ store, other, id, advance }) => {
    const indexes = [`${id}-subject`]
    for (const each of ['1', '2', '3', '4']) await create(store, `${id}-${each}`, { indexes })
    await create(store, `${id}-elsewhere`, { indexes: [`${id}-other`] })
    await create(store, `${id}-short`, { indexes, ttlMs: MINUTE })
    await store.destroy(`${id}-3`)
    await store.touch(`${id}-1`, 5 * HOUR)
    await advance(2 * MINUTE)

    const listed = await other.list(`${id}-subject`)
    assert.deepEqual(idsOf(listed), [`${id}-1`, `${id}-2`, `${id}-4`])
    for (const { createdAt } of listed) assert.equal(typeof createdAt, 'number')
    assert.deepEqual(await other.list(`${id}-unknown`), [])
  })

  promise('all sessions of the store are listed in batches, other data are not', async (world) => {
    const { store, other, id } = world
    const ids = Array.from({ length: 1_203 }, (_, i) => `${id}-${i}`)
    for (const one of ids)
      await create(store, one, { indexes: [`${id}-subject`], profile: sealedAs(`profile of ${one}`) })
    await store.put(`${id}-data`, sealedAs('data'), HOUR)
    await store.destroy(`${id}-0`)

    const found = new Map<string, string>()
    for await (const batch of other.listAll())
      for (const one of batch) if (one.id.startsWith(id)) found.set(one.id, String(one.profile))
    assert.deepEqual([...found.keys()].sort(), ids.slice(1).sort())
    assert.equal(found.get(`${id}-7`), `profile of ${id}-7`)
  })
}

export function describesSessions(promise: PromiseOf): void {
  promise('a profile comes with its session, byte for byte, and leaves with it', async (world) => {
    const { store, other, id, advance } = world
    const indexes = [`${id}-subject`]
    const profile = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    await create(store, id, { indexes, profile })
    assert.deepEqual((await other.list(`${id}-subject`))[0]?.profile, profile)

    await store.replace(id, sealedAs('renewed'), 1)
    await store.touch(id, 2 * HOUR)
    assert.deepEqual((await other.list(`${id}-subject`))[0]?.profile, profile)

    await other.destroy(id)
    // After that time the identifier can be used again.
    await advance(10 * MINUTE)
    await create(store, id, { indexes })
    assert.equal((await other.list(`${id}-subject`))[0]?.profile, undefined)
  })

  promise('a profile is updated without a change of the record', async ({ store, other, id }) => {
    const indexes = [`${id}-subject`]
    await create(store, id, { indexes })
    const seen: (string | undefined)[] = []
    const update = (profile: Buffer | undefined) => {
      seen.push(profile?.toString())
      return sealedAs(`${profile ?? 'first'} again`)
    }
    await store.updateProfile(id, update)
    await other.updateProfile(id, update)

    assert.deepEqual(seen, [undefined, 'first again'])
    assert.equal(await profileIn(store, indexes), 'first again again')
    const { sealed, version } = (await store.read(id)) ?? assert.fail()
    assert.deepEqual([sealed, version], [sealedAs('sealed'), 1])
  })

  promise('updates at the same time are all kept', async ({ store, other, id }) => {
    const indexes = [`${id}-subject`]
    await create(store, id, { indexes, profile: sealedAs('0') })
    const letters = [...'abcdefghij']
    await Promise.all(
      letters.map((letter, i) =>
        (i % 2 ? store : other).updateProfile(id, (profile) => sealedAs(`${profile}${letter}`)),
      ),
    )
    assert.deepEqual([...(await profileIn(store, indexes))].sort(), ['0', ...letters])
  })

  promise('an update does not bring an ended session back', async ({ store, other, id }) => {
    await create(store, id, { indexes: [`${id}-subject`] })
    await other.destroy(id)
    await store.updateProfile(id, () => sealedAs('late'))
    assert.equal(await store.read(id), undefined)
    assert.deepEqual(await store.list(`${id}-subject`), [])
    await store.updateProfile(`${id}-unknown`, () => sealedAs('late'))
    assert.equal(await store.read(`${id}-unknown`), undefined)
  })

  promise('sessions that are ended by a limit are named with their profiles', async ({ store, id }) => {
    const indexes = [`${id}-subject`]
    await create(store, `${id}-1`, { indexes, profile: sealedAs('a phone') })
    await create(store, `${id}-2`, { indexes })
    const [ended] = await store.trim(`${id}-subject`, 1, `${id}-2`)
    assert.equal(String(ended?.profile), 'a phone')
  })
}

async function profileIn(store: SessionStore, [index = '']: string[]): Promise<string> {
  return String((await store.list(index))[0]?.profile)
}
