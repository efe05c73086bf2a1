import { isHopByHop } from './fields.ts'

/**
 * Response headers that pass by default; an upstream's `responseHeaders` adds others. It is an allow-list, because
 * browsers keep adding headers that affect a whole origin, and proxies headers that control how they treat an answer.
 */
const passing = new Set([
  // Format of the body.
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
  'content-location',
  'content-disposition',
  'content-range',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'want-content-digest',
  'want-repr-digest',
  'want-digest',
  'accept-ranges',
  'date',
  'preference-applied',
  // Caching; made private in cache-rules.ts.
  'cache-control',
  'expires',
  'pragma',
  'age',
  'vary',
  'etag',
  'last-modified',
  'warning',
  // Links, and what the resource accepts.
  'location',
  'link',
  'allow',
  'accept',
  'accept-encoding',
  'accept-patch',
  'accept-post',
  'accept-query',
  'retry-after',
  'www-authenticate',
  // Restrictions that browsers enforce.
  'content-security-policy',
  'x-content-type-options',
  'x-frame-options',
  'x-download-options',
  'x-robots-tag',
  'cross-origin-resource-policy',
  'cross-origin-opener-policy',
  'cross-origin-embedder-policy',
  'referrer-policy',
  'permissions-policy',
  // Limits, life cycle, tracing.
  'deprecation',
  'sunset',
  'server-timing',
  'traceresponse',
  'request-id',
  'correlation-id',
  'x-request-id',
  'x-correlation-id',
  'x-trace-id',
  'x-response-time',
  'x-runtime',
  'idempotency-key',
  'idempotency-replayed',
  'api-version',
  'x-api-version',
  'api-supported-versions',
  'api-deprecated-versions',
  // Pages of lists.
  'x-total',
  'x-total-count',
  'x-total-pages',
  'x-page',
  'x-per-page',
  'x-next-page',
  'x-prev-page',
  'x-pagination',
  // WebDAV, OData, resumable uploads.
  'dav',
  'lock-token',
  'odata-version',
  'odata-entityid',
  'upload-offset',
  'upload-length',
  'upload-limit',
  'upload-complete',
  'upload-expires',
  'upload-metadata',
])

const passingKinds = /^(x-)?rate-?limit(-|$)|^grpc-|^tus-/

/**
 * Response headers that `responseHeaders` of an upstream can't add: those that affect the whole origin, grant access to
 * other origins, make the browser report or send additional data, control a proxy or cache in front, or belong to the
 * gateway.
 */
const forbidden = new Set([
  'clear-site-data',
  'strict-transport-security',
  'public-key-pins',
  'public-key-pins-report-only',
  'expect-ct',
  'expect-staple',
  'alt-svc',
  'nel',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'origin-agent-cluster',
  'origin-isolation',
  'accept-ch',
  'accept-ch-lifetime',
  'critical-ch',
  'delegate-ch',
  'set-cookie2',
  'set-login',
  'idp-signin-status',
  'activate-storage-access',
  'use-as-dictionary',
  'speculation-rules',
  'refresh',
  'timing-allow-origin',
  'x-permitted-cross-domain-policies',
  'shared-storage-write',
  'observe-browsing-topics',
  'via',
  'cache-tag',
  'cache-status',
  'xkey',
  'x-cache-control',
  'x-varnish',
  'x-esi',
  'x-sendfile',
  'x-lighttpd-send-file',
  'x-lighttpd-send-tempfile',
])

const forbiddenKinds =
  /^(bff|secure-session|sec|access-control|proxy|surrogate|edge|ad-auction|attribution-reporting|protected-audience|x-accel|x-litespeed|x-lscache|x-reproxy|x-forwarded)(-|$)|(^|-)cdn-/

/** True for headers that pass by default. @param name lower case */
export function passesByDefault(name: string): boolean {
  return passing.has(name) || passingKinds.test(name)
}

/** True for headers that never pass, listed or not. @param name lower case */
export function isForbiddenHeader(name: string): boolean {
  return isHopByHop(name) || forbidden.has(name) || forbiddenKinds.test(name)
}
