import assert from 'node:assert/strict'
import { test } from 'node:test'
import { displayName, type SessionRecord } from '../../../plugins/oidc-session/session-record.ts'

function nameWith(claims: Record<string, unknown>): string {
  return displayName({ claims, subject: 'the-sub' } as SessionRecord)
}

test('a user is called by name, else by user name, else by mail address, else by sub', () => {
  const claims = { email: 'a@example.test', preferred_username: 'alice', name: 'Alice' }
  assert.equal(nameWith(claims), 'Alice')
  assert.equal(nameWith({ ...claims, name: '' }), 'alice')
  assert.equal(nameWith({ ...claims, name: 1, preferred_username: null }), 'a@example.test')
  assert.equal(nameWith({}), 'the-sub')
})
