import {
  type Context,
  context,
  type Span as OtelSpan,
  propagation,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import {
  type ClientSpan,
  noTracing,
  type RequestTrace,
  type Span,
  type SpanAttributes,
  type TraceHeaders,
  type Tracing,
} from '../../../lib/tracing.ts'

/** What is known of a request when it arrives. */
export interface ArrivedRequest {
  method: string
  /** Pattern of the route, which bounds the number of span names. Undefined: there is none. */
  route: string | undefined
  /** Without the query. */
  path: string
  scheme: string
  httpVersion: string
  headers: Record<string, string | string[] | undefined>
}

/** The trace of a request, with what only the plugin needs. */
export interface OpenRequestTrace extends RequestTrace {
  /** For the fields of the request's log lines. */
  readonly ids: { trace_id: string; span_id: string }
  /** Runs `work` as a part of the request, since events of a socket come without its context. */
  run(work: () => void): void
  /** @param errorType set if the request failed */
  end(statusCode: number, errorType?: string): void
}

export interface OpenTelemetryTracing extends Tracing {
  /** Continues the trace of the incoming `traceparent`, or begins one. */
  beginRequest(request: ArrivedRequest): OpenRequestTrace
}

const known = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'QUERY',
])

/**
 * Traces by the global tracer provider, propagator and context manager, which the application or server.ts has registered.
 */
export function createOpenTelemetryTracing(): OpenTelemetryTracing {
  const tracer = trace.getTracer('fastify-bff')
  return {
    isOn: true,

    span: (name, attributes, work) =>
      inSpan(tracer, name, SpanKind.INTERNAL, attributes, (span) => work(span)),

    clientSpan: (name, attributes, work) =>
      inSpan(tracer, name, SpanKind.CLIENT, attributes, (span) => work(span, injected(context.active()))),

    beginRequest: (request) => beginRequest(tracer, request),
  }
}

async function inSpan<T>(
  tracer: Tracer,
  name: string,
  kind: SpanKind,
  attributes: SpanAttributes,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const parent = context.active()
  if (trace.getSpan(parent) === undefined) return noTracing.span(name, attributes, work)
  const span = tracer.startSpan(name, { kind, attributes }, parent)
  try {
    return await context.with(trace.setSpan(parent, span), work, undefined, spanOf(span))
  } catch (error) {
    fail(span, errorType(error))
    throw error
  } finally {
    span.end()
  }
}

function beginRequest(tracer: Tracer, request: ArrivedRequest): OpenRequestTrace {
  const active = context.active()
  const outer = trace.getSpan(active)
  // An application's own instrumentation has begun a span for this request: ours go below it.
  const span = outer ?? startRequestSpan(tracer, request, propagation.extract(active, request.headers))
  const own = trace.setSpan(active, span)
  const { traceId, spanId } = span.spanContext()
  let isEnded = outer !== undefined
  return {
    ids: { trace_id: traceId, span_id: spanId },
    run: (work) => context.with(own, work),
    startClient: (name, attributes) => startClient(tracer, name, attributes, own),
    end(statusCode, type) {
      if (isEnded) return
      isEnded = true
      span.setAttribute('http.response.status_code', statusCode)
      if (type !== undefined) span.setAttribute('error.type', type)
      if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    },
  }
}

function startRequestSpan(tracer: Tracer, request: ArrivedRequest, parent: Context): OtelSpan {
  const { route, path, scheme, httpVersion } = request
  const isKnown = known.has(request.method)
  const method = isKnown ? request.method : '_OTHER'
  const attributes = {
    'http.request.method': method,
    'http.request.method_original': isKnown ? undefined : request.method.slice(0, 32),
    'http.route': route,
    'url.path': path,
    'url.scheme': scheme,
    'network.protocol.version': httpVersion,
  }
  const verb = isKnown ? method : 'HTTP'
  const name = route === undefined ? verb : `${verb} ${route}`
  return tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent)
}

function startClient(tracer: Tracer, name: string, attributes: SpanAttributes, parent: Context): ClientSpan {
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, parent)
  let isEnded = false
  const end = () => {
    if (!isEnded) span.end()
    isEnded = true
  }
  return {
    headers: injected(trace.setSpan(parent, span)),
    answered(statusCode) {
      span.setAttribute('http.response.status_code', statusCode)
      if (statusCode >= 400) fail(span, String(statusCode))
      end()
    },
    failed(type) {
      if (!isEnded) fail(span, type)
      end()
    },
  }
}

function injected(from: Context): TraceHeaders {
  const headers: TraceHeaders = {}
  propagation.inject(from, headers)
  return headers
}

const otelSpans = new WeakMap<Span, OtelSpan>()

function spanOf(span: OtelSpan): Span {
  const made: Span = {
    set: (attributes) => void span.setAttributes(attributes),
    fail: (type) => fail(span, type),
    link(other) {
      const linked = otelSpans.get(other)
      if (linked) span.addLink({ context: linked.spanContext() })
    },
  }
  otelSpans.set(made, span)
  return made
}

/** Without the error's text, which may quote an issuer or a browser. */
function fail(span: OtelSpan, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

function errorType(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.name : '_OTHER'
}
