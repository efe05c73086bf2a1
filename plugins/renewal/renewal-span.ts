import type { Span, SpanAttributes, Tracing } from '../../lib/tracing.ts'
import type { Attempt } from './renewal-lock.ts'

/**
 * Runs a part of a renewal in a span that says what came of it. A renewal is below the request that started it; the
 * requests that wait for it have a span `token.wait` each, with a link to it.
 */
export function inRenewalSpan<A extends Attempt<unknown>>(
  tracing: Tracing,
  name: 'token.wait' | 'token.renewal' | 'token.grant',
  work: (span: Span) => Promise<A>,
  attributes: SpanAttributes = {},
): Promise<A> {
  return tracing.span(name, attributes, async (span) => {
    const result = await work(span)
    const { outcome } = result
    span.set({ 'bff.renewal.outcome': outcome })
    if (outcome !== 'obtained' && outcome !== 'retry') span.fail(outcome)
    return result
  })
}
