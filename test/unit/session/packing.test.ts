import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { pack, unpack } from '../../../plugins/session/packing.ts'

const base64url = (content: string | Buffer) => Buffer.from(content).toString('base64url')
const jwt = (payload: object, signature = randomBytes(256)) =>
  [base64url('{"alg":"RS256"}'), base64url(JSON.stringify(payload)), base64url(signature)].join('.')

const anyText = fc.string({ unit: 'binary' })
const anyJwt = fc
  .tuple(anyText, fc.uint8Array(), fc.uint8Array())
  .map(([header, payload, signature]) =>
    [`{"${header}`, Buffer.concat([Buffer.from('{"'), payload]), Buffer.from(signature)]
      .map((part) => base64url(part))
      .join('.'),
  )
const almostJwt = fc.stringMatching(/^eyJ[\w-]{0,9}\.eyJ[\w-]{0,9}\.[\w-]{0,9}$/)

test('unpacking restores everything that was packed, tokens byte for byte', () => {
  const anything = fc.jsonValue({ stringUnit: 'binary' })
  const token = fc.oneof(anyJwt, almostJwt, anyText)
  fc.assert(
    fc.property(fc.array(token), fc.dictionary(anyText, token), anything, (list, named, value) => {
      const whole = JSON.parse(JSON.stringify({ list, named, value }))
      assert.deepEqual(unpack(pack(whole)), whole)
    }),
  )
})

test('a token whose parts can not be restored exactly is kept as text', () => {
  const part = base64url('{"a":1}')
  const tokens = [
    `${part}.${part}.`,
    `${part}.${part}`,
    `${part}.${part}.x.y`,
    `${part}=.${part}.AA`,
    // Surplus bits in the last character, which decoding drops.
    `${part}.${part}.AB`,
    `${base64url('{"\u0001":1}')}.${base64url('{"\u0000":1}')}.AA`,
    `${base64url('{"\n":1}')}.${base64url('{"\\u0001')}.AA`,
    `${base64url(Buffer.from([0x7b, 0x22, 0xff, 0xfe]))}.${part}.AA`,
    `"${part}.${part}.AA"`,
  ]
  assert.deepEqual(unpack(pack(tokens)), tokens)
})

test('packing a claim that looks like the start of a thousand tokens takes linear time', () => {
  const claims = ['eyJ', '"eyJ', 'eyJ.eyJ', '"eyJ.eyJ.', '"eyJ.eyJ.A"'].map((text) => text.repeat(100_000))
  const startedAt = process.cpuUsage()
  assert.deepEqual(unpack(pack(claims)), claims)
  const { user } = process.cpuUsage(startedAt)
  // Quadratic time would be minutes.
  assert.ok(user < 5_000_000, `${user} µs`)
})

test('a token takes little more than its signature if its claims are in the record already', () => {
  const claims = {
    sub: 'c9b4a5c2-7d38-4f17-9f55-0b9d6bb1b1a3',
    name: 'Alice Example',
    email: 'alice@example.com',
  }
  const without = pack({ claims }).length
  const token = jwt(claims)
  assert.ok(
    pack({ claims, token }).length - without < 256 + 60,
    `${pack({ claims, token }).length - without}`,
  )
})
