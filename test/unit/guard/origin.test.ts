import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isForeign } from '../../../plugins/guard/checks.ts'

const own = 'https://app.example.com'
const others = new Set(['https://spa.example.com', 'https://elsewhere.example'])

const isForeignTo = (origin: string | undefined, secFetchSite: string | undefined) =>
  isForeign({ origin, secFetchSite }, own, others)

test('origins on the list are not foreign, on any site', () => {
  for (const origin of others) {
    for (const secFetchSite of ['same-origin', 'same-site', 'cross-site', undefined]) {
      assert.equal(isForeignTo(origin, secFetchSite), false)
    }
  }
})

test('our own origin is not foreign, unless Sec-Fetch-Site says cross-site', () => {
  for (const secFetchSite of ['same-origin', 'same-site', 'none', undefined]) {
    assert.equal(isForeignTo(own, secFetchSite), false)
  }
  assert.equal(isForeignTo(own, 'cross-site'), true)
})

test('any other origin is foreign, with any value of Sec-Fetch-Site', () => {
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
      assert.equal(isForeignTo(origin, secFetchSite), true, origin)
    }
  }
})

test('without an Origin header, as in a GET of our own page, Sec-Fetch-Site decides', () => {
  const foreign = (secFetchSite?: string) => isForeignTo(undefined, secFetchSite)
  assert.equal(foreign('cross-site'), true)
  for (const site of ['same-origin', 'same-site', 'none', undefined]) assert.equal(foreign(site), false)
})
