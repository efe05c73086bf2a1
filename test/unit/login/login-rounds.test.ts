import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  afterLogin,
  afterReentry,
  formatRounds,
  readRounds,
  roundsCookieName,
} from '../../../plugins/login/gate/login-rounds.ts'
import { isTransactionCookie } from '../../../plugins/login/login-transaction.ts'

test('each login is counted, and resets the count of reloads', () => {
  assert.deepEqual(afterLogin(undefined), { logins: 1, reentries: 0 })
  assert.deepEqual(afterReentry(undefined), { logins: 0, reentries: 1 })
  assert.deepEqual(afterReentry(afterLogin(undefined)), { logins: 1, reentries: 1 })
  assert.deepEqual(afterLogin({ logins: 1, reentries: 1 }), { logins: 2, reentries: 0 })
})

test('what is written can be read again, and a count stays one digit', () => {
  for (const rounds of [
    { logins: 1, reentries: 0 },
    { logins: 9, reentries: 9 },
  ]) {
    assert.deepEqual(readRounds(formatRounds(rounds)), rounds)
  }
  assert.deepEqual(readRounds(formatRounds({ logins: 12, reentries: 34 })), { logins: 9, reentries: 9 })
})

test('a value that the gateway did not write counts as zero', () => {
  for (const value of [undefined, '', '1', '1.', '.1', '1.2.3', '-1.0', '10.0', 'a.b', '1.0 ']) {
    assert.equal(readRounds(value), undefined, value)
  }
})

test('the cookie is not mistaken for one of a login transaction', () => {
  assert.equal(isTransactionCookie('bff', roundsCookieName('bff')), false)
})
