import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  beginTransaction,
  isTransactionCookie,
  readTransaction,
  transactionCookieName,
} from '../../../plugins/login/login-transaction.ts'

const login = { issuer: 'https://login.example.com/', returnUrl: '/start', silent: false }

test('state, nonce and PKCE verifier are 32 random bytes each, all different', () => {
  const transactions = [beginTransaction(login, 1), beginTransaction(login, 1)]
  const secrets = transactions.flatMap(({ state, nonce, codeVerifier }) => [state, nonce, codeVerifier])
  for (const secret of secrets) assert.match(secret, /^[\w-]{43}$/)
  assert.equal(new Set(secrets).size, secrets.length)
})

test('a transaction keeps the parameters of its login', () => {
  const wishes = { ...login, silent: true, maxAgeSeconds: 60 }
  const { state: _, nonce: __, codeVerifier: ___, ...remembered } = beginTransaction(wishes, 1000)
  assert.deepEqual(remembered, { ...wishes, startedAt: 1000 })
})

test("the cookie's name derives from the state, without revealing the state", () => {
  const name = transactionCookieName('bff', 'some-state')
  assert.equal(name, transactionCookieName('bff', 'some-state'))
  assert.notEqual(name, transactionCookieName('bff', 'other-state'))
  assert.ok(!name.includes('some-state'))
})

test('any state in a callback makes a valid cookie name', () => {
  for (const state of ['', 'x'.repeat(10_000), 'a;b=c\r\nd', '\u{1f36a}', '__proto__']) {
    assert.match(transactionCookieName('__Host-bff', state), /^__Host-bff-tx-[\w-]{16}$/)
  }
})

test('only cookies of that form count as transactions', () => {
  assert.ok(isTransactionCookie('bff', transactionCookieName('bff', 'state')))
  for (const name of [
    'bff',
    'bff-tx',
    'bff-tx-',
    'bff-tx-short',
    'bff-tx-ä(aaaaaaaaaaaaaa',
    'x-tx-0123456789abcdef',
  ]) {
    assert.ok(!isTransactionCookie('bff', name), name)
  }
})

test('a sealed transaction is read again, and an incomplete one is rejected', () => {
  const transaction = beginTransaction(login, 1000)
  assert.deepEqual(readTransaction({ ...transaction }), transaction)
  for (const name of ['issuer', 'state', 'nonce', 'codeVerifier', 'returnUrl', 'startedAt']) {
    assert.equal(readTransaction({ ...transaction, [name]: undefined }), undefined, name)
    assert.equal(readTransaction({ ...transaction, [name]: {} }), undefined, name)
  }
  assert.equal(readTransaction({}), undefined)
})
