import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TokenSet } from '../../../plugins/issuer/token-set.ts'
import { createMetrics } from '../../../plugins/observability/prometheus.ts'
import { sampleValue } from '../../support/samples.ts'
import { createWorld, failed, granted, idToken, refused, settle } from './support.ts'

const unusable = 5_000

function createCountingWorld() {
  const world = createWorld()
  const { metrics, registry } = createMetrics()
  const renewer = world.startGateway(metrics)
  return {
    ...world,
    read: async (name: string, labels = {}) => sampleValue(await registry.metrics(), name, labels) ?? 0,
    /** Asks for a usable token and ignores the outcome. */
    async ask(leftMs = unusable, tokens: Partial<TokenSet> = {}) {
      const session = await world.signIn(leftMs, tokens)
      await renewer.withUsableToken(session, world.logger).catch(() => {})
    },
  }
}

test('each grant is counted by outcome, and timed', async () => {
  const { ask, issuer, read, sessions, logger, signIn, startGateway } = createCountingWorld()
  await ask()
  issuer.answers.push(refused)
  await ask()
  issuer.answers.push(failed('ECONNREFUSED'))
  await ask()
  issuer.answers.push(granted('foreign', { idToken: idToken({ sub: 'bob' }) }))
  await ask()

  for (const outcome of ['renewed', 'refused', 'failed', 'foreign_identity'])
    assert.equal(await read('bff_token_renewals_total', { outcome }), 1, outcome)
  assert.equal(await read('bff_token_renewal_duration_seconds_count'), 4)

  const { metrics, registry } = createMetrics()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = startGateway(metrics).withUsableToken(session, logger)
  await settle()
  assert.equal(sampleValue(await registry.metrics(), 'bff_token_renewal_waiters'), 1)
  await sessions.end(session)
  answer(granted('late'))
  await assert.rejects(waiting)
  const text = await registry.metrics()
  assert.equal(sampleValue(text, 'bff_token_renewal_waiters'), 0)
  assert.equal(sampleValue(text, 'bff_token_renewals_total', { outcome: 'gone' }), 1)
})

test('sessions that renewal ends are counted by reason', async () => {
  const { ask, issuer, read } = createCountingWorld()
  issuer.answers.push(refused)
  await ask()
  issuer.answers.push(granted('foreign', { idToken: idToken({ iss: 'https://other.example' }) }))
  await ask()
  await ask(-1, { refreshToken: undefined as never })

  for (const reason of ['refused', 'foreign_identity', 'expired'])
    assert.equal(await read('bff_sessions_ended_total', { reason }), 1, reason)
})
