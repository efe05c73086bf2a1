import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import * as oidc from 'openid-client'
import { createDpopKey } from '../../../plugins/issuer/dpop/key.ts'
import { createNonces } from '../../../plugins/issuer/dpop/nonces.ts'
import { createGrants } from '../../../plugins/issuer/grants.ts'
import { refreshAnswerFetch } from '../../../plugins/issuer/token-answers.ts'
import { grantDeadline } from '../../../plugins/issuer/transport.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

const issuer = 'https://login.example.com'
const timeoutMs = 12_500

/** Grants with DPoP at an issuer that answers requests so, once its metadata are known. */
function grantsAt(
  answer: (signal: AbortSignal) => Response | Promise<Response>,
  metadataKnown = async () => {},
) {
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  configuration[oidc.customFetch] = refreshAnswerFetch(async (_url, options) => {
    assert.ok(options?.signal)
    return answer(options.signal)
  })
  return createGrants({
    async configuration() {
      await metadataKnown()
      return configuration
    },
    clock: createFakeClock(),
    timeoutMs,
    newKey: async () => createDpopKey('ES256'),
    nonces: createNonces(),
  })
}

/** The clock stands still until it is set forward, so that no deadline passes because the machine is busy. */
function stopClock(t: TestContext): { passDeadline: () => void } {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  return { passDeadline: () => t.mock.timers.tick(timeoutMs) }
}

test('the second request of a grant, with the nonce, has what is left of its time: another process may take over then', async (t) => {
  const { passDeadline } = stopClock(t)
  const signals: AbortSignal[] = []
  const { refresh } = grantsAt(async (signal) => {
    signals.push(signal)
    if (signals.length === 1)
      return Response.json({ error: 'use_dpop_nonce' }, { status: 400, headers: { 'dpop-nonce': 'n' } })
    const late = once(signal, 'abort')
    passDeadline()
    await late
    throw signal.reason
  })
  assert.equal((await refresh('r')).outcome, 'failed')
  assert.equal(signals.length, 2)
  assert.equal(signals[0], signals[1])
})

test('a grant that waits for the metadata has no more time than another', async (t) => {
  const { passDeadline } = stopClock(t)
  let isLate: boolean | undefined
  const { refresh } = grantsAt(
    (signal) => {
      isLate = signal.aborted
      return Promise.reject(signal.reason)
    },
    async () => {
      const deadline = grantDeadline()
      assert.ok(deadline)
      const late = once(deadline, 'abort')
      passDeadline()
      await late
    },
  )

  assert.equal((await refresh('r')).outcome, 'failed')

  assert.equal(isLate, true)
})

test('grants at the same time have deadlines of their own, and there is none outside of a grant', async (t) => {
  stopClock(t)
  const signals = new Set<AbortSignal>()
  const { refresh } = grantsAt((signal) => {
    signals.add(signal)
    return Response.json({ access_token: 'a', token_type: 'DPoP' })
  })
  const outcomes = await Promise.all([refresh('r'), refresh('s')])
  assert.ok(outcomes.every(({ outcome }) => outcome === 'granted'))
  assert.equal(signals.size, 2)
  assert.equal(grantDeadline(), null)
})
