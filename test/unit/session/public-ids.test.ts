import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createPublicIds } from '../../../plugins/session/public-ids.ts'

const id = randomBytes(32).toString('base64url')

test('a public identifier leads back to its session, and is always the same', () => {
  const ids = createPublicIds([randomBytes(32)])
  const publicId = ids.of(id)
  assert.match(publicId, /^[\w-]{54}$/)
  assert.equal(ids.of(id), publicId)
  assert.equal(ids.storeId(publicId), id)
  assert.ok(!publicId.includes(id.slice(0, 8)))
})

test('identifiers that were not made with these keys are none', () => {
  const ids = createPublicIds([randomBytes(32)])
  const publicId = ids.of(id)
  const changed = [...publicId].map(
    (letter, at) => publicId.slice(0, at) + (letter === 'x' ? 'y' : 'x') + publicId.slice(at + 1),
  )
  const foreign = createPublicIds([randomBytes(32)]).of(id)
  for (const wrong of [
    '',
    id,
    foreign,
    `${publicId}A`,
    randomBytes(40).toString('base64url'),
    ...changed.slice(0, -1),
  ])
    assert.equal(ids.storeId(wrong), undefined, wrong)
})

test('identifiers of before a rotation of the keys are accepted until the old key is dropped', () => {
  const [older, newer] = [randomBytes(32), randomBytes(32)]
  const before = createPublicIds([older]).of(id)
  assert.equal(createPublicIds([newer, older]).storeId(before), id)
  assert.equal(createPublicIds([newer]).storeId(before), undefined)
})
