/** How long and how often a client may keep the gateway busy. */
export interface Limits {
  /** For the headers of a request, from its first byte or from the connection's beginning, in milliseconds. */
  headersTimeoutMs: number
  /** How long nothing of a body may come, in milliseconds. In all, an upload may take as long as it likes. */
  bodyIdleTimeoutMs: number
  /** Of one client to the endpoints that anybody may call: each sign-in takes two. */
  requestsPerMinute: number
  /** Of one client: authorization codes that the issuer has refused, before it is sent no more of them. */
  refusedCodesPerMinute: number
  /** Event streams and WebSockets that one session may have open, in each process. */
  streamsPerSession: number
}

export const defaultLimits: Limits = {
  headersTimeoutMs: 30_000,
  bodyIdleTimeoutMs: 30_000,
  // An address can be that of a whole company.
  requestsPerMinute: 6000,
  refusedCodesPerMinute: 30,
  streamsPerSession: 50,
}

/** For the request line and all headers together. Node's own default can be changed by a flag. */
export const maxHeaderBytes = 16 * 1024

/** As many fields as so many bytes can be at the most: over HTTP/2 a browser sends each cookie as a field of its own. */
export const maxHeaderFields = maxHeaderBytes / 2

/** How HTTP/2 counts the same bytes: with 32 more for each field. @see RFC 9113, section 6.5.2 */
export const maxHeaderListBytes = maxHeaderBytes + 40 * maxHeaderFields

/** For bodies that are read into memory. Proxied ones stream, and have no limit. */
export const maxBodyBytes = 64 * 1024
