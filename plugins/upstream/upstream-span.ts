import { type ClientSpan, clientAttributes, type RequestTrace } from '../../lib/tracing.ts'

/** The span of a request to an upstream; undefined if the browser's request is not traced. @param path without the query */
export function startUpstreamSpan(
  trace: RequestTrace | null,
  target: URL,
  method: string,
  path: string,
): ClientSpan | undefined {
  return trace?.startClient(method, clientAttributes(method, target, path))
}
