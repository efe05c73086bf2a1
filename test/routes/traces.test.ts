import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTraces } from '../../plugins/observability/tracing/start.ts'
import { holdTokenRequests, signIn, startGateway, startUpstream } from '../proxy/support.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { until } from '../support/until.ts'

test('without an exporter nothing of OpenTelemetry is loaded', async () => {
  assert.deepEqual(await startTraces({}), { warnings: [] })
  for (const env of [
    { OTEL_SDK_DISABLED: 'true' },
    { OTEL_TRACES_EXPORTER: 'none' },
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
  ]) {
    const { traces } = await startTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', ...env })
    assert.equal(traces, undefined)
  }
  assert.equal(Reflect.get(globalThis, Symbol.for('opentelemetry.js.api.1')), undefined)
})

test('a renewal that three requests waited for is one span that all three link to, and issuer and API get the trace', async (t) => {
  const receiver = await startOtlpReceiver(t)
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = receiver.url
  const { traces } = await startTraces(process.env)
  assert.ok(traces)
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const clock = createFakeClock(Date.now())
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user' }], {
    issuer,
    env: { OIDC_SCOPE: 'openid offline_access' },
    extras: { clock },
  })
  const cookie = await signIn(gateway)
  await clock.advance(2 * 3_600_000)
  const tokenRequests: string[] = []
  issuer.provider.use(async (ctx, next) => {
    if (ctx.path === '/token') tokenRequests.push(ctx.get('traceparent'))
    await next()
  })
  const held = holdTokenRequests(issuer)
  const parents = ['1', '2', '3'].map((digit) => ({ traceId: digit.repeat(32), spanId: digit.repeat(16) }))

  const calls = parents.map(({ traceId, spanId }) =>
    gateway.call('/api/time?secret=of-the-query', {
      headers: { cookie, traceparent: `00-${traceId}-${spanId}-01` },
    }),
  )
  await held.arrived
  await until(() => gateway.logs.filter(({ event }) => event === 'token.acquire').length === 3)
  held.release()
  for (const answer of await Promise.all(calls)) assert.equal(answer.status, 200)
  await gateway.close()
  await traces.shutdown()

  const named = (name: string) => receiver.spans.filter((span) => span.name === name)
  const [renewal, ...otherRenewals] = named('token.renewal')
  assert.ok(renewal)
  assert.deepEqual(otherRenewals, [])
  const waits = named('token.wait')
  assert.deepEqual(
    new Set(waits.map(({ traceId }) => traceId)),
    new Set(parents.map(({ traceId }) => traceId)),
  )
  const { traceId, spanId } = renewal
  for (const { links } of waits) assert.deepEqual(links, [{ traceId, spanId }])

  const requests = named('GET /api/*')
  for (const parent of parents) {
    const request = requests.find((span) => span.traceId === parent.traceId)
    assert.equal(request?.parentSpanId, parent.spanId)
    assert.equal(request?.attributes['http.response.status_code'], 200)
    assert.equal(request?.attributes['url.path'], '/api/time')
    const line = gateway.logs.find(
      ({ event, trace_id }) => event === 'token.acquired' && trace_id === parent.traceId,
    )
    assert.equal(line?.['span_id'], request?.spanId)
    assert.equal(typeof line?.['sessionHash'], 'string')
    const arrival = upstream.arrivals.find(({ headers }) =>
      String(headers['traceparent']).includes(parent.traceId),
    )
    const toApi = named('GET').find((span) => span.traceId === parent.traceId && span.kind === 3)
    assert.equal(arrival?.headers['traceparent'], `00-${parent.traceId}-${toApi?.spanId}-01`)
  }

  const [grant] = named('token.grant')
  assert.equal(grant?.parentSpanId, spanId)
  const toIssuer = named('POST /token').filter((span) => span.traceId === traceId)
  assert.deepEqual(tokenRequests, [`00-${traceId}-${toIssuer[0]?.spanId}-01`])
  assert.ok(named('session.lookup').length > 0)
  assert.ok(receiver.spans.some(({ name, traceId: of }) => name === 'store.replace' && of === traceId))
  assert.doesNotMatch(receiver.text(), /of-the-query|eyJ[\w-]{8,}|code=|Bearer/)
  t.diagnostic(traceText(receiver.spans.filter((span) => span.traceId === traceId)))
})

/** A trace as an indented list. */
function traceText(spans: { spanId: string; parentSpanId: string; name: string }[]): string {
  const below = (parent: string, indent: string): string =>
    spans
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .map(({ name, spanId }) => `\n${indent}${name}${below(spanId, `${indent}  `)}`)
      .join('')
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const roots = spans.filter(({ parentSpanId }) => !ids.has(parentSpanId))
  return roots.map(({ name, spanId }) => `${name}${below(spanId, '  ')}`).join('\n')
}
