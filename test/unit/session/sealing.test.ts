import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { formatOf, seal, unseal } from '../../../plugins/session/sealing.ts'
import { type SessionRecord, sessionRecord } from '../../../plugins/session/session-record.ts'

const record: SessionRecord = {
  issuer: 'https://login.example.com',
  subject: 'alice',
  sid: 'sid-of-alice',
  claims: { name: 'Älice', roles: ['a', 'b'] },
  createdAt: 1,
  tokenSet: { accessToken: 'secret access token', tokenType: 'Bearer', obtainedAt: 1 },
  renewals: 0,
}
const sealedFor = { key: randomBytes(32), id: 'the-hash-of-an-identifier', version: 7 }
const formats = [1, 2] as const

test('a sealed record opens with the same key, identifier and version', () => {
  for (const format of formats) {
    const sealed = seal(record, sealedFor, format)
    assert.equal(formatOf(sealed), format)
    assert.deepEqual(unseal(sealed, sealedFor), record)
  }
  assert.equal(formatOf(seal(record, sealedFor)), 2)
})

test('a sealed record reveals nothing of its content', () => {
  for (const text of ['alice', 'secret access token', 'accessToken', 'login.example.com', sealedFor.id]) {
    assert.ok(!seal(record, sealedFor).includes(text), text)
  }
})

test('sealing the same record twice gives different bytes', () => {
  assert.notDeepEqual(seal(record, sealedFor), seal(record, sealedFor))
})

test('another key does not open it', () => {
  assert.equal(unseal(seal(record, sealedFor), { ...sealedFor, key: randomBytes(32) }), undefined)
})

test('a record moved under another identifier does not open', () => {
  assert.equal(unseal(seal(record, sealedFor), { ...sealedFor, id: 'the-hash-of-another' }), undefined)
})

test('an old record does not open as a newer version', () => {
  assert.equal(unseal(seal(record, sealedFor), { ...sealedFor, version: 8 }), undefined)
})

test('a record does not open in another format', () => {
  const sealed = seal(record, sealedFor)
  for (const format of [0, 1, 3, 255]) {
    const renamed = Buffer.from(sealed)
    renamed[0] = format
    assert.equal(unseal(renamed, sealedFor), undefined, `${format}`)
    assert.equal(unseal(Buffer.from(renamed.toString('base64')), sealedFor), undefined, `${format} as text`)
  }
})

test('one flipped bit anywhere makes it fail to open', () => {
  const bytes = seal(record, sealedFor)
  for (let position = 0; position < bytes.length; position++) {
    const tampered = Buffer.from(bytes)
    tampered.writeUInt8(tampered.readUInt8(position) ^ 1, position)
    assert.equal(unseal(tampered, sealedFor), undefined, `byte ${position}`)
  }
})

test('truncated anywhere it does not open', () => {
  for (const format of formats) {
    const bytes = seal(record, sealedFor, format)
    const whole = format === 1 ? bytes.length - 4 : bytes.length
    for (let length = 0; length < whole; length++) {
      assert.equal(unseal(bytes.subarray(0, length), sealedFor), undefined, `${length} bytes`)
    }
  }
})

test('bytes that were never sealed do not open, nor does a key of a wrong length', () => {
  const bytes = ['', 'x', 'A', 'AQ==', '{}', JSON.stringify(record), '\u0002'].map((text) =>
    Buffer.from(text),
  )
  for (const each of [...bytes, randomBytes(200), Buffer.alloc(200, 2)]) {
    assert.equal(unseal(each, sealedFor), undefined)
  }
  assert.equal(unseal(seal(record, sealedFor), { ...sealedFor, key: Buffer.alloc(0) }), undefined)
})

test('records sealed by earlier releases open', async () => {
  const sample = JSON.parse(
    await readFile(new URL('../../data/sealed-records.json', import.meta.url), 'utf8'),
  )
  const { id, version } = sample
  const key = Buffer.from(sample.key, 'base64url')
  for (const format of formats) {
    const sealed = Buffer.from(sample.sealed[format], 'base64url')
    assert.equal(formatOf(sealed), format)
    assert.deepEqual(sessionRecord(unseal(sealed, { key, id, version })), sample.record, `format ${format}`)
  }
})

test('a sealed record keeps no larger buffer in memory', () => {
  const sealed = seal(record, sealedFor)
  assert.equal(sealed.buffer.byteLength, sealed.length)
})
