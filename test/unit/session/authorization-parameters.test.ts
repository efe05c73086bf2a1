import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authorizationParameters } from '../../../plugins/login/authorization-parameters.ts'

const valid = {
  prompt: ['none', 'login', 'consent', 'select_account', 'create', 'login consent'],
  login_hint: ['alice', 'alice@example.test', 'Älice Müller', 'x'.repeat(256)],
  ui_locales: ['de', 'de-CH fr en', 'zh-Hant-TW'],
  acr_values: ['high', 'urn:mace:incommon:iap:silver phr'],
  max_age: ['0', '60', '999999999'],
}
for (const [name, values] of Object.entries(valid))
  test(`${name} is passed on when it is valid`, () => {
    for (const value of values) {
      assert.deepEqual([...authorizationParameters({ [name]: value })], [[name, value]])
    }
  })

const invalid = {
  prompt: ['', 'nonsense', 'none login', 'login  consent', 'Login', ['none', 'login']],
  login_hint: ['', 'a\r\nb', 'a\u0000', 'x'.repeat(257), ['a', 'b']],
  ui_locales: ['', 'de_CH', 'de  en', '<script>', Array(11).fill('de').join(' ')],
  acr_values: ['', 'a\tb', 'hö', Array(11).fill('a').join(' '), {}],
  max_age: ['', '-1', '1.5', '1e3', '1s', '0x10', '1000000000', 60],
}
for (const [name, values] of Object.entries(invalid))
  test(`${name} is refused when it is invalid, and the error names it`, () => {
    for (const value of values) {
      assert.throws(
        () => authorizationParameters({ [name]: value }),
        { code: 'BFF_INVALID_PARAMETER', details: `${name} is not valid` },
        JSON.stringify(value),
      )
    }
  })

test('nothing else is passed on', () => {
  const others = {
    redirect_uri: 'https://evil.example',
    scope: 'admin',
    state: 'x',
    client_id: 'y',
    request: 'z',
  }
  assert.deepEqual([...authorizationParameters(others)], [])
})
