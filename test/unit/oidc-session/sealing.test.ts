import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { seal, unseal } from '../../../plugins/oidc-session/sealing.ts'
import type { SessionRecord } from '../../../plugins/oidc-session/session-record.ts'

const record: SessionRecord = {
  issuer: 'https://login.example.com',
  subject: 'alice',
  sid: 'sid-of-alice',
  claims: { name: 'Älice', roles: ['a', 'b'] },
  createdAt: 1,
  tokenSet: { accessToken: 'secret access token', tokenType: 'Bearer', obtainedAt: 1 },
  renewals: 0,
}
const key = randomBytes(32)
const id = 'the-hash-of-an-identifier'

test('what is sealed opens again with the same key and identifier', () => {
  assert.deepEqual(unseal(seal(record, key, id), key, id), record)
})

test('a sealed record shows nothing of what is in it', () => {
  const bytes = Buffer.from(seal(record, key, id), 'base64')
  for (const text of ['alice', 'secret access token', 'accessToken', 'login.example.com', id]) {
    assert.ok(!bytes.includes(text), text)
  }
})

test('the same record never looks the same twice', () => {
  assert.notEqual(seal(record, key, id), seal(record, key, id))
})

test('another key does not open it', () => {
  assert.equal(unseal(seal(record, key, id), randomBytes(32), id), undefined)
})

test('a record moved under another identifier does not open', () => {
  assert.equal(unseal(seal(record, key, id), key, 'the-hash-of-another'), undefined)
})

test('one flipped bit anywhere keeps it shut', () => {
  const bytes = Buffer.from(seal(record, key, id), 'base64')
  for (let position = 0; position < bytes.length; position++) {
    const tampered = Buffer.from(bytes)
    tampered.writeUInt8(tampered.readUInt8(position) ^ 1, position)
    assert.equal(unseal(tampered.toString('base64'), key, id), undefined, `byte ${position}`)
  }
})

test('cut off anywhere it stays shut', () => {
  const bytes = Buffer.from(seal(record, key, id), 'base64')
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(unseal(bytes.subarray(0, length).toString('base64'), key, id), undefined, `${length} bytes`)
  }
})

test('text that was never sealed does not open, nor does a key of a wrong length', () => {
  for (const text of ['', 'x', '{}', JSON.stringify(record), randomBytes(200).toString('base64')]) {
    assert.equal(unseal(text, key, id), undefined)
  }
  assert.equal(unseal(seal(record, key, id), Buffer.alloc(0), id), undefined)
})
