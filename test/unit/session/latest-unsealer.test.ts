import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createLatestUnsealer, seal } from '../../../plugins/session/sealing.ts'
import { sessionRecord } from '../../../plugins/session/session-record.ts'

const record = {
  issuer: 'https://issuer.test',
  subject: 'alice',
  sid: 'sid',
  claims: {},
  createdAt: 0,
  tokenSet: { accessToken: 'first', tokenType: 'Bearer', obtainedAt: 0 },
  renewals: 0,
}
const id = 'a'.repeat(43)
const key = randomBytes(32)

test('the same sealed record is unsealed once', () => {
  const unseal = createLatestUnsealer(sessionRecord)
  const sealed = seal(record, { key, id, version: 1 })
  const opened = unseal({ sealed, version: 1 }, key, id)?.record
  assert.deepEqual(opened, record)
  assert.equal(unseal({ sealed: Buffer.from(sealed), version: 1 }, Buffer.from(key), id)?.record, opened)
})

test('a remembered record opens with no other key, identifier or version', () => {
  const unseal = createLatestUnsealer(sessionRecord)
  const sealed = seal(record, { key, id, version: 1 })
  assert.ok(unseal({ sealed, version: 1 }, key, id))
  assert.equal(unseal({ sealed, version: 1 }, randomBytes(32), id), undefined)
  assert.equal(unseal({ sealed, version: 1 }, key.subarray(1), id), undefined)
  assert.equal(unseal({ sealed, version: 2 }, key, id), undefined)
  assert.equal(unseal({ sealed, version: 1 }, key, 'b'.repeat(43)), undefined)
})

test('a newer record replaces the previous one, in both formats', () => {
  const unseal = createLatestUnsealer(sessionRecord)
  const tokenSet = { ...record.tokenSet, accessToken: 'second' }
  for (const format of [1, 2] as const) {
    const first = seal(record, { key, id, version: 1 }, format)
    const second = seal({ ...record, tokenSet }, { key, id, version: 2 }, format)
    assert.equal(unseal({ sealed: first, version: 1 }, key, id)?.record.tokenSet.accessToken, 'first')
    assert.equal(unseal({ sealed: second, version: 2 }, key, id)?.record.tokenSet.accessToken, 'second')
  }
})

test('a remembered record keeps neither the Redis answer nor a buffer pool in memory', () => {
  const unseal = createLatestUnsealer(sessionRecord)
  const sealed = seal(record, { key, id, version: 1 })
  const answer = Buffer.concat([Buffer.alloc(100_000), sealed]).subarray(100_000)
  const opened = unseal({ sealed: answer, version: 1 }, Buffer.from(key.toString('base64'), 'base64'), id)
  assert.equal(opened?.key.buffer.byteLength, 32)
  for (const value of Object.values(opened ?? {})) {
    assert.ok(!Buffer.isBuffer(value) || value.buffer.byteLength === value.length)
  }
})
