import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isForeign } from '../../../plugins/request-guard/origin.ts'

const allowed = new Set(['https://app.example.com', 'https://spa.example.com'])

test('our own origin and those on the list are not foreign, wherever they are', () => {
  for (const origin of allowed) {
    for (const secFetchSite of ['same-origin', 'same-site', 'cross-site', undefined]) {
      assert.equal(isForeign({ origin, secFetchSite }, allowed), false)
    }
  }
})

test('any other origin is foreign, whatever Sec-Fetch-Site says', () => {
  const others = [
    'null',
    '',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.example',
    'https://evil.example/app.example.com',
    'https://APP.example.com',
    'https://sub.app.example.com',
  ]
  for (const origin of others) {
    for (const secFetchSite of ['same-origin', 'none', undefined]) {
      assert.equal(isForeign({ origin, secFetchSite }, allowed), true, origin)
    }
  }
})

test('without an Origin, which a GET of our own page lacks, Sec-Fetch-Site decides', () => {
  const foreign = (secFetchSite?: string) => isForeign({ origin: undefined, secFetchSite }, allowed)
  assert.equal(foreign('cross-site'), true)
  for (const site of ['same-origin', 'same-site', 'none', undefined]) assert.equal(foreign(site), false)
})
