import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideAdmission, type Visit } from '../../../plugins/login/gate/admission.ts'
import { maxReentries } from '../../../plugins/login/gate/login-rounds.ts'

/** Somebody who types the address of a page. */
const typed: Visit = {
  method: 'GET',
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  secFetchMode: 'navigate',
  secFetchSite: 'none',
  hasSession: false,
  hasSessionCookie: false,
  rounds: undefined,
}
const strict = (visit: Partial<Visit>) => decideAdmission({ ...typed, ...visit }, true)
const lax = (visit: Partial<Visit>) => decideAdmission({ ...typed, ...visit }, false)
/** A browser without Fetch Metadata. */
const older = { secFetchMode: undefined, secFetchSite: undefined }
const rounds = (logins: number, reentries = 0) => ({ logins, reentries })

test('who has a session is let in, wherever from and for whatever', () => {
  for (const secFetchSite of ['none', 'same-origin', 'same-site', 'cross-site', undefined]) {
    for (const secFetchMode of ['navigate', 'cors', 'no-cors', 'websocket', undefined]) {
      const visit = { hasSession: true, secFetchSite, secFetchMode, rounds: rounds(9, 9) }
      assert.equal(strict(visit), 'admit')
      assert.equal(lax({ ...visit, method: 'POST', accept: '*/*' }), 'admit')
    }
  }
})

test('only a person who opens a page is sent to the login', () => {
  assert.equal(strict({}), 'log-in')
  assert.equal(strict({ method: 'HEAD' }), 'log-in')
  assert.equal(strict({ secFetchSite: 'same-origin' }), 'log-in')
  assert.equal(strict(older), 'log-in')

  for (const secFetchMode of ['cors', 'no-cors', 'same-origin', 'websocket']) {
    assert.equal(strict({ secFetchMode }), 'refuse', secFetchMode)
  }
  for (const secFetchSite of ['none', 'cross-site', undefined]) {
    assert.equal(strict({ ...older, secFetchSite, accept: '*/*' }), 'refuse')
    assert.equal(strict({ ...older, secFetchSite, accept: undefined }), 'refuse')
    assert.equal(strict({ secFetchSite, method: 'POST' }), 'refuse')
  }
})

test('a strict cookie may have stayed behind when another site began, so the browser comes in again', () => {
  assert.equal(strict({ secFetchSite: 'cross-site' }), 're-enter')
  assert.equal(strict({ secFetchSite: 'cross-site', rounds: rounds(3) }), 're-enter')
  for (const secFetchSite of ['none', 'same-origin', 'same-site']) {
    assert.equal(strict({ secFetchSite }), 'log-in')
  }
  assert.equal(strict({ secFetchSite: 'cross-site', hasSessionCookie: true }), 'log-in')
  assert.equal(lax({ secFetchSite: 'cross-site' }), 'log-in')
})

test('an older browser comes in again once after each login, and never unless it keeps cookies', () => {
  assert.equal(strict({ ...older, rounds: undefined }), 'log-in')
  assert.equal(strict({ ...older, rounds: rounds(1) }), 're-enter')
  assert.equal(strict({ ...older, rounds: rounds(1, 1) }), 'log-in')
  assert.equal(lax({ ...older, rounds: rounds(1) }), 'log-in')
})

test('three logins without a session are enough', () => {
  assert.equal(strict({ rounds: rounds(2) }), 'log-in')
  assert.equal(strict({ rounds: rounds(3) }), 'stop')
  assert.equal(strict({ ...older, rounds: rounds(3, 1) }), 'stop')
  assert.equal(lax({ secFetchSite: 'cross-site', rounds: rounds(3) }), 'stop')
  assert.equal(strict({ rounds: rounds(3), secFetchMode: 'cors' }), 'refuse')
})

test('a browser to which every navigation is cross-site does not come in again for ever', () => {
  const visit = { secFetchSite: 'cross-site' }
  assert.equal(strict({ ...visit, rounds: rounds(0, maxReentries - 1) }), 're-enter')
  assert.equal(strict({ ...visit, rounds: rounds(0, maxReentries) }), 'log-in')
  assert.equal(strict({ ...visit, rounds: rounds(3, maxReentries) }), 'stop')
})
