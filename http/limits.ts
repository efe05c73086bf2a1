/** Time and rate limits for clients. */
export interface Limits {
  /** Time limit for the headers of a request, from its first byte or the start of the connection, in milliseconds. */
  headersTimeoutMs: number
  /** Body idle timeout, in milliseconds. The total duration of an upload is not limited. */
  bodyIdleTimeoutMs: number
  /** Requests per client to the endpoints that need no session; each login takes two. */
  requestsPerMinute: number
  /** Refused authorization codes per client; beyond that, its codes are no longer sent to the issuer. */
  refusedCodesPerMinute: number
  /** Logins per client whose return URL is so long that it is put into the store. */
  longReturnUrlsPerMinute: number
  /** Open event streams and WebSockets per session, in each process. */
  streamsPerSession: number
  /** Of these, streams of `/bff/events`. */
  sessionEventStreams: number
}

export const defaultLimits: Limits = {
  headersTimeoutMs: 30_000,
  bodyIdleTimeoutMs: 30_000,
  // A whole company may share one address.
  requestsPerMinute: 6000,
  refusedCodesPerMinute: 30,
  longReturnUrlsPerMinute: 60,
  streamsPerSession: 50,
  sessionEventStreams: 20,
}

/** Limit for the request line and all headers together. Set explicitly, since a Node flag can change Node's default. */
export const maxHeaderBytes = 16 * 1024

/** The most fields that fit into these bytes: over HTTP/2 browsers send each cookie as a separate field. */
export const maxHeaderFields = maxHeaderBytes / 2

/** The same limit as HTTP/2 counts it, with 32 bytes added per field. @see RFC 9113, section 6.5.2 */
export const maxHeaderListBytes = maxHeaderBytes + 40 * maxHeaderFields

/** Limit for bodies that are read into memory. Proxied bodies are streamed without a limit. */
export const maxBodyBytes = 64 * 1024

/** Maximum duration of a login or logout, from the redirect to the issuer to the return. */
export const loginLifetimeMs = 10 * 60_000
