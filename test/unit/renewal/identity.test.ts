import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSameIdentity } from '../../../plugins/tokens/store-tokens.ts'
import { idToken, login } from './support.ts'

const record = {
  ...login,
  tokenSet: { accessToken: '', tokenType: 'Bearer', obtainedAt: 0 },
  createdAt: 0,
  renewals: 0,
}
const isSame = (claims: object) => isSameIdentity(idToken(claims), record, 'gateway')

test("an ID token with the session's issuer, subject and audience is the same user", () => {
  assert.ok(isSame({}))
  assert.ok(isSame({ aud: ['gateway'] }))
  assert.ok(isSame({ aud: ['another client', 'gateway'] }))
  assert.ok(isSame({ sid: 'another sid', auth_time: 1, nonce: 'n' }))
})

const foreign = {
  'another issuer': { iss: 'https://evil.example' },
  'an issuer that differs in a slash only': { iss: `${login.issuer}/` },
  'another subject': { sub: 'bob' },
  'a subject that differs in case only': { sub: 'ALICE' },
  'another audience': { aud: 'another client' },
  'other audiences': { aud: ['another client', 'a third'] },
  'no audience': { aud: undefined },
  'no subject': { sub: undefined },
  'an empty list of audiences': { aud: [] },
}
for (const [what, claims] of Object.entries(foreign)) {
  test(`an ID token with ${what} is foreign`, () => assert.equal(isSame(claims), false))
}

test('a value that is no ID token is foreign', () => {
  for (const garbage of ['', 'garbage', 'a.b.c', '..', idToken({}).replace('.', '')])
    assert.equal(isSameIdentity(garbage, record, 'gateway'), false)
})
