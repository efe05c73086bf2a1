import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../../plugins/observability/prometheus.ts'
import { samplesOf, sampleValue, typesOf } from '../../support/samples.ts'

test('metrics have the names, types and labels of the documents', async () => {
  const { metrics, registry } = createMetrics()
  metrics.renewalDone('renewed', 10)
  metrics.renewalWaiters(1)
  metrics.sessionStarted()
  metrics.sessionEnded('logout')
  metrics.upstreamDuration('/api')(200, 10)
  metrics.storeAnswered('read', 'ok', 10)
  metrics.responseSent('/api/*', '2xx')
  metrics.loginDone('succeeded')
  metrics.deviceBinding('registered')
  metrics.overloaded()

  const text = await registry.metrics()

  assert.deepEqual(typesOf(text), {
    bff_token_renewals_total: 'counter',
    bff_token_renewal_duration_seconds: 'histogram',
    bff_token_renewal_waiters: 'gauge',
    bff_sessions_started_total: 'counter',
    bff_sessions_ended_total: 'counter',
    bff_upstream_request_duration_seconds: 'histogram',
    bff_store_duration_seconds: 'histogram',
    bff_http_responses_total: 'counter',
    bff_logins_total: 'counter',
    bff_device_bindings_total: 'counter',
    bff_event_loop_overloaded_total: 'counter',
  })
  const labels = new Map<string, string[]>()
  for (const sample of samplesOf(text).filter(({ name }) => name.startsWith('bff_'))) {
    const name = sample.name.replace(/_(bucket|sum|count)$/, '')
    const own = Object.keys(sample.labels).filter((label) => label !== 'le')
    assert.deepEqual(labels.get(name) ?? own, own)
    labels.set(name, own)
  }
  assert.deepEqual(Object.fromEntries(labels), {
    bff_token_renewals_total: ['outcome'],
    bff_token_renewal_duration_seconds: [],
    bff_token_renewal_waiters: [],
    bff_sessions_started_total: [],
    bff_sessions_ended_total: ['reason'],
    bff_upstream_request_duration_seconds: ['upstream', 'status'],
    bff_store_duration_seconds: ['operation', 'outcome'],
    bff_http_responses_total: ['route', 'code'],
    bff_logins_total: ['outcome'],
    bff_device_bindings_total: ['outcome'],
    bff_event_loop_overloaded_total: [],
  })
})

test('counters with labels start at 0, so that a rate includes their first event', async () => {
  const { registry } = createMetrics()
  const text = await registry.metrics()
  assert.equal(sampleValue(text, 'bff_token_renewals_total', { outcome: 'refused' }), 0)
  assert.equal(sampleValue(text, 'bff_sessions_ended_total', { reason: 'refused' }), 0)
  assert.equal(sampleValue(text, 'bff_logins_total', { outcome: 'failed' }), 0)
  const read = { operation: 'read', outcome: 'unavailable' }
  assert.equal(sampleValue(text, 'bff_store_duration_seconds_count', read), 0)
})

test('counters of each of several frontends start at 0, and there is no sample without a frontend', async () => {
  const { metrics, registry } = createMetrics({ several: true })
  metrics.of('one')
  const logins = samplesOf(await registry.metrics()).filter(({ name }) => name === 'bff_logins_total')
  assert.deepEqual(new Set(logins.map(({ labels }) => labels['frontend'])), new Set(['one']))
})

test('durations are given in milliseconds and exported in seconds', async () => {
  const { metrics, registry } = createMetrics()
  metrics.renewalDone('failed', 1500)
  metrics.upstreamDuration('/api')(404, 250)
  metrics.storeAnswered('read', 'ok', 2)

  const text = await registry.metrics()

  assert.equal(sampleValue(text, 'bff_token_renewal_duration_seconds_sum'), 1.5)
  assert.equal(
    sampleValue(text, 'bff_upstream_request_duration_seconds_sum', { upstream: '/api', status: '404' }),
    0.25,
  )
  assert.equal(
    sampleValue(text, 'bff_store_duration_seconds_sum', { operation: 'read', outcome: 'ok' }),
    0.002,
  )
})

test('waiting requests are counted while they wait, and sessions that end together are all counted', async () => {
  const { metrics, registry } = createMetrics()
  metrics.renewalWaiters(1)
  metrics.renewalWaiters(1)
  metrics.renewalWaiters(-1)
  metrics.sessionEnded('backchannel_logout', 3)
  metrics.sessionEnded('backchannel_logout', 0)
  metrics.sessionEnded('logout')

  const text = await registry.metrics()

  assert.equal(sampleValue(text, 'bff_token_renewal_waiters'), 1)
  assert.equal(sampleValue(text, 'bff_sessions_ended_total', { reason: 'backchannel_logout' }), 3)
  assert.equal(sampleValue(text, 'bff_sessions_ended_total', { reason: 'logout' }), 1)
})

test('two gateways in one process have separate counters', async () => {
  const [one, other] = [createMetrics(), createMetrics()]
  one.metrics.sessionStarted()
  assert.equal(sampleValue(await one.registry.metrics(), 'bff_sessions_started_total'), 1)
  assert.equal(sampleValue(await other.registry.metrics(), 'bff_sessions_started_total'), 0)
})
