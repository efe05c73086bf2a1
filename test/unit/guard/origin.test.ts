import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isForeign } from '../../../http/origin.ts'

const own = 'https://app.example.com'
const others = new Set(['https://spa.example.com', 'https://elsewhere.example'])

const isForeignTo = (origin: string | undefined, secFetchSite: string | undefined) =>
  isForeign({ origin, secFetchSite }, own, others)

test('those on the list are not foreign, wherever they are', () => {
  for (const origin of others) {
    for (const secFetchSite of ['same-origin', 'same-site', 'cross-site', undefined]) {
      assert.equal(isForeignTo(origin, secFetchSite), false)
    }
  }
})

test('our own origin is not foreign, unless a browser says that it is another site', () => {
  for (const secFetchSite of ['same-origin', 'same-site', 'none', undefined]) {
    assert.equal(isForeignTo(own, secFetchSite), false)
  }
  assert.equal(isForeignTo(own, 'cross-site'), true)
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
      assert.equal(isForeignTo(origin, secFetchSite), true, origin)
    }
  }
})

test('without an Origin, which a GET of our own page lacks, Sec-Fetch-Site decides', () => {
  const foreign = (secFetchSite?: string) => isForeignTo(undefined, secFetchSite)
  assert.equal(foreign('cross-site'), true)
  for (const site of ['same-origin', 'same-site', 'none', undefined]) assert.equal(foreign(site), false)
})
