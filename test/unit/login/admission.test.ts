import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideAdmission, type Visit } from '../../../plugins/login/gate/admission.ts'
import { maxReentries } from '../../../plugins/login/gate/login-rounds.ts'

/** A user who types the address of a page. */
const typed: Visit = {
  method: 'GET',
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  secFetchMode: 'navigate',
  secFetchSite: 'none',
  hasSession: false,
  hasSessionCookie: false,
  isUnproven: false,
  rounds: undefined,
}
const strict = (visit: Partial<Visit>) => decideAdmission({ ...typed, ...visit }, true)
const lax = (visit: Partial<Visit>) => decideAdmission({ ...typed, ...visit }, false)
/** A browser without Fetch Metadata. */
const older = { secFetchMode: undefined, secFetchSite: undefined }
const rounds = (logins: number, reentries = 0) => ({ logins, reentries })

test('with a session everything is admitted, from any site', () => {
  for (const secFetchSite of ['none', 'same-origin', 'same-site', 'cross-site', undefined]) {
    for (const secFetchMode of ['navigate', 'cors', 'no-cors', 'websocket', undefined]) {
      const visit = { hasSession: true, secFetchSite, secFetchMode, rounds: rounds(9, 9) }
      assert.equal(strict(visit), 'admit')
      assert.equal(lax({ ...visit, method: 'POST', accept: '*/*' }), 'admit')
    }
  }
})

test('only a navigation to a page is redirected to the login', () => {
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

test('on a navigation from another site the Strict cookie is missing, so the page is loaded again', () => {
  assert.equal(strict({ secFetchSite: 'cross-site' }), 're-enter')
  assert.equal(strict({ secFetchSite: 'cross-site', rounds: rounds(3) }), 're-enter')
  for (const secFetchSite of ['none', 'same-origin', 'same-site']) {
    assert.equal(strict({ secFetchSite }), 'log-in')
  }
  assert.equal(strict({ secFetchSite: 'cross-site', hasSessionCookie: true }), 'log-in')
  assert.equal(lax({ secFetchSite: 'cross-site' }), 'log-in')
})

test('a browser without Fetch Metadata loads the page again once after each login, and only if it keeps cookies', () => {
  assert.equal(strict({ ...older, rounds: undefined }), 'log-in')
  assert.equal(strict({ ...older, rounds: rounds(1) }), 're-enter')
  assert.equal(strict({ ...older, rounds: rounds(1, 1) }), 'log-in')
  assert.equal(lax({ ...older, rounds: rounds(1) }), 'log-in')
})

test('after three logins without a session the login stops', () => {
  assert.equal(strict({ rounds: rounds(2) }), 'log-in')
  assert.equal(strict({ rounds: rounds(3) }), 'stop')
  assert.equal(strict({ ...older, rounds: rounds(3, 1) }), 'stop')
  assert.equal(lax({ secFetchSite: 'cross-site', rounds: rounds(3) }), 'stop')
  assert.equal(strict({ rounds: rounds(3), secFetchMode: 'cors' }), 'refuse')
})

test('a browser that calls every navigation cross-site does not reload for ever', () => {
  const visit = { secFetchSite: 'cross-site' }
  assert.equal(strict({ ...visit, rounds: rounds(0, maxReentries - 1) }), 're-enter')
  assert.equal(strict({ ...visit, rounds: rounds(0, maxReentries) }), 'log-in')
  assert.equal(strict({ ...visit, rounds: rounds(3, maxReentries) }), 'stop')
})
