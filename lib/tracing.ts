/** Traces as a parameter, like the clock: without OpenTelemetry it is {@link noTracing}, which does nothing. */
export interface Tracing {
  /** False only for {@link noTracing}. */
  readonly isOn: boolean
  /** Runs `work` in a span below the current one. Outside of a traced request there is no span. */
  span<T>(name: string, attributes: SpanAttributes, work: (span: Span) => Promise<T>): Promise<T>
  /**
   * The same for a request to another server.
   * @param work sends `headers` with the request, which continue the trace there
   */
  clientSpan<T>(
    name: string,
    attributes: SpanAttributes,
    work: (span: Span, headers: TraceHeaders) => Promise<T>,
  ): Promise<T>
}

/**
 * Names are those of OpenTelemetry's semantic conventions where it has one. Values must hold no token, cookie,
 * authorization code or query string. Unset ones are left out.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
export type SpanAttributes = Record<string, string | number | boolean | undefined>

/** Attributes of a request to another server. @param path without the query, which may hold a secret */
export function clientAttributes(
  method: string,
  { origin, hostname, port, protocol }: URL,
  path: string,
): SpanAttributes {
  return {
    'http.request.method': method,
    'url.full': origin + path,
    'server.address': hostname,
    'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
  }
}

/** `traceparent` and what else the propagator sends. */
export type TraceHeaders = Record<string, string>

export interface Span {
  set(attributes: SpanAttributes): void
  /** Marks the span as failed. @param type a short word, such as an error code; never free text */
  fail(type: string): void
  /** Links to a span that other requests may wait for, too. */
  link(other: Span): void
}

/** The trace of one request of a browser. */
export interface RequestTrace {
  /** Starts the span of a request that is sent on to another server. Its end must be reported once. */
  startClient(name: string, attributes: SpanAttributes): ClientSpan
  /** Ends the request's own span before its response has ended, as for a WebSocket. */
  end(statusCode: number): void
}

export interface ClientSpan {
  /** To be sent with the request. */
  readonly headers: TraceHeaders
  answered(statusCode: number): void
  /** @param type a short word, such as an error code */
  failed(type: string): void
}

const noSpan: Span = { set() {}, fail() {}, link() {} }

export const noTracing: Tracing = {
  isOn: false,
  span: (_name, _attributes, work) => work(noSpan),
  clientSpan: (_name, _attributes, work) => work(noSpan, {}),
}
