import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenTarget } from '../../../plugins/issuer/token-set.ts'
import {
  displayName,
  recordAfter,
  type SessionRecord,
  sessionRecord,
} from '../../../plugins/session/session-record.ts'

function nameWith(claims: Record<string, unknown>): string {
  return displayName({ claims, subject: 'the-sub' } as SessionRecord)
}

test('the display name is name, else preferred_username, else email, else sub', () => {
  const claims = { email: 'a@example.test', preferred_username: 'alice', name: 'Alice' }
  assert.equal(nameWith(claims), 'Alice')
  assert.equal(nameWith({ ...claims, name: '' }), 'alice')
  assert.equal(nameWith({ ...claims, name: 1, preferred_username: null }), 'a@example.test')
  assert.equal(nameWith({}), 'the-sub')
})

test('tokens for single APIs are dropped an hour after their expiry, so that a session does not grow without limit', () => {
  const record: SessionRecord = {
    issuer: 'https://issuer.test',
    subject: 'the-sub',
    sid: 'the-sid',
    claims: {},
    createdAt: 0,
    tokenSet: { accessToken: 'own', tokenType: 'Bearer', obtainedAt: 0 },
    renewals: 0,
  }
  const after = (before: SessionRecord, api: string, now: number, expiresInMs?: number) =>
    recordAfter(
      before,
      {
        accessToken: `token for ${api}`,
        tokenType: 'Bearer',
        ...(expiresInMs !== undefined && { expiresInMs }),
      },
      { requestedAt: now, now, target: tokenTarget({ audience: api }) },
    )
  const names = ({ apiTokens = {} }: SessionRecord) =>
    Object.values(apiTokens).map(({ accessToken }) => accessToken)

  const first = after(after(record, 'a', 0, 60_000), 'of unknown lifetime', 0)
  const later = after(first, 'b', 60_000 + 3_599_999, 60_000)
  assert.deepEqual(names(later), ['token for a', 'token for of unknown lifetime', 'token for b'])
  const atLast = after(later, 'b', 60_000 + 3_600_000, 60_000)
  assert.deepEqual(names(atLast), ['token for of unknown lifetime', 'token for b'])
})

const whole = {
  issuer: 'https://issuer.test',
  subject: 'the-sub',
  sid: 'the-sid',
  claims: {},
  sessionState: 'state',
  createdAt: 0,
  tokenSet: {
    accessToken: 'own',
    tokenType: 'Bearer',
    obtainedAt: 0,
    expiresAt: 1,
    scope: 'openid',
    refreshToken: 'refresh',
    idToken: 'id',
  },
  renewals: 0,
  renewedAt: 0,
  apiTokens: { api: { accessToken: 'its', tokenType: 'Bearer', obtainedAt: 0, renewals: 1, renewedAt: 0 } },
}

test('unsealed data is a record only with all required fields in the right types', () => {
  assert.equal(sessionRecord(whole), whole)
  const { sessionState, renewedAt, apiTokens, ...least } = whole
  const { accessToken, tokenType, obtainedAt } = whole.tokenSet
  assert.ok(sessionRecord({ ...least, tokenSet: { accessToken, tokenType, obtainedAt } }))

  for (const value of [undefined, null, 'text', 1, [], {}, [whole]])
    assert.equal(sessionRecord(value), undefined)
  for (const name of Object.keys(least))
    assert.equal(sessionRecord({ ...whole, [name]: undefined }), undefined, name)
  for (const name of Object.keys(whole))
    assert.equal(sessionRecord({ ...whole, [name]: [] }), undefined, name)
  for (const name of Object.keys(whole.tokenSet)) {
    assert.equal(sessionRecord({ ...whole, tokenSet: { ...whole.tokenSet, [name]: null } }), undefined, name)
  }
  const { renewals, ...uncounted } = whole.apiTokens.api
  assert.equal(sessionRecord({ ...whole, apiTokens: { api: uncounted } }), undefined)
})

test('fields of a newer release survive a renewal by an older one', () => {
  const record = sessionRecord({ ...whole, deviceKey: { kty: 'EC' } }) ?? assert.fail()
  const granted = { accessToken: 'new', tokenType: 'Bearer' }
  const renewed = recordAfter(record, granted, { requestedAt: 1, now: 1 })
  assert.deepEqual({ ...renewed }['deviceKey' as keyof SessionRecord], { kty: 'EC' })
})
