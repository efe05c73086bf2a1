/** Everything the gateway can be told, after validation. Durations are milliseconds. */
export interface GatewayOptions {
  /** Origin and optional base path at which browsers reach the gateway. Redirect URIs derive from it alone. */
  publicUrl: URL
  host: string
  port: number
  /** Unset: plain HTTP, and TLS ends in a proxy in front. */
  tls?: TlsOptions
  /** As Fastify's `trustProxy`. */
  trustProxy: boolean | number | string[]
  logLevel: string
  oidc: OidcOptions
  session: SessionOptions
  cookie: CookieOptions
  /** Unset: sessions live in the memory of this one process. */
  redisUrl?: string
  /** What it takes to be let in there, besides the URL. */
  redisAccess?: RedisAccessOptions
  /** How long a request waits for a store that doesn't answer. */
  storeTimeoutMs: number
  refreshBeforeExpirationMs: number
  upstreams: UpstreamOptions[]
  /** Folder with the built frontend. */
  staticDir?: string
  /** The frontend's development server, instead of `staticDir`. */
  frontendUrl?: URL
  /** Pages and files of the frontend are for those who are signed in. */
  requireLogin: boolean
  /** Exact origins that may call with credentials. */
  corsOrigins: string[]
  /** Lower-case name of the header that `/api` and the session endpoints demand with the value `1`. */
  csrfHeader: string
  metricsPort?: number
  /** Where `/metrics` listens. */
  metricsHost: string
  /** How long an idle client connection is kept. */
  keepAliveTimeoutMs: number
  /** `/bff/diagnostics`, for developers: outside production. */
  diagnostics: boolean
  shutdown: { delayMs: number; timeoutMs: number }
}

/** PEM files, read anew when they change. */
export interface TlsOptions {
  /** The certificate, and after it those that lead to a root. */
  certFile: string
  keyFile: string
}

export interface RedisAccessOptions {
  /** PEM files for TLS: certificates to trust, client certificate and its key. */
  caFile?: string
  certFile?: string
  keyFile?: string
  /** Of the Sentinels. Unset: that of the URL. */
  sentinelPassword?: string
}

export interface OidcOptions {
  issuer: URL
  clientId: string
  clientSecret?: string
  /** JWK, JWKS or PEM file for `private_key_jwt`. */
  clientPrivateKeyFile?: string
  /** Space-separated. */
  scope: string
  /** Sent with every authorization request. */
  authorizationParams: URLSearchParams
  /** How long a request waits for the issuer. */
  timeoutMs: number
}

export interface SessionOptions {
  /** 32 bytes each. The first seals, all open. */
  keys: [Buffer, ...Buffer[]]
  /** Sliding. */
  idleTimeoutMs: number
  /** Absolute. */
  lifetimeMs: number
  /** The most sessions that one user has at a time. */
  maxPerUser: number
}

export interface CookieOptions {
  name: string
  sameSite: 'strict' | 'lax' | 'none'
  /** Names that other frontends of this process have for theirs. */
  others?: string[]
}

/**
 * Which access token requests to an upstream carry.
 *
 * `user`: the signed-in user's. `client`: the gateway's own, by client credentials; no session needed.
 * `user-or-client`, `user-or-none`: the user's, or without a session that or none. `none`: none.
 */
export type TokenKind = (typeof tokenKinds)[number]

export const tokenKinds = ['user', 'client', 'user-or-client', 'user-or-none', 'none'] as const

export interface UpstreamOptions {
  /** Path below which requests go to this upstream, such as `/api`. */
  prefix: string
  /** Origin and optional base path of the remote API. */
  target: URL
  token: TokenKind
  /** Of a token for this API alone; space-separated. */
  scope?: string
  /** As `scope`. An absolute URI. @see https://www.rfc-editor.org/rfc/rfc8707 */
  resource?: string
  /** As `scope`, for issuers that know APIs by this. */
  audience?: string
  /** Takes a token that is given in exchange for the user's. @see https://www.rfc-editor.org/rfc/rfc8693 */
  exchange: boolean
  /** PEM certificates to trust instead of the system's. */
  ca?: string
  /** PEM certificate, and those that lead to its authority, by which the gateway shows who it is. With `clientKey`. */
  clientCert?: string
  /** PEM private key of `clientCert`. */
  clientKey?: string
  /** Name that the certificate must be for. Unset: the target's host. */
  serverName?: string
  /** HTTP/2 where the upstream offers it; WebSockets stay with HTTP/1.1. */
  http2: boolean
  /** The most connections that requests may have open. Unset: as many as it takes. */
  connections?: number
  /** How long an unused connection is kept at the most. Unset: 4 s, or as long as the upstream says. */
  keepAliveTimeoutMs?: number
  connectTimeoutMs: number
  /** To the first byte of the answer; streams may then stay open. */
  timeoutMs: number
  /** Methods that may be used, upper case. */
  methods: Method[]
  /** False: no CSRF header is demanded. Foreign origins are refused all the same. */
  csrf: boolean
  /** Names of request headers that are passed on, lower case. Unset: all that may be. */
  requestHeaders?: string[]
  /** Names of the browser's cookies passed on to the upstream. */
  requestCookies: string[]
  /** Names of the answer's headers that are passed on besides those that always are, lower case. */
  responseHeaders?: string[]
  /** Names of upstream cookies passed on to the browser. */
  responseCookies: string[]
}

/** Those that reach upstreams. */
export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export type Method = (typeof methods)[number]
