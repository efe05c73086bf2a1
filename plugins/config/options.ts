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
  refreshBeforeExpirationMs: number
  upstreams: UpstreamOptions[]
  /** Folder with the built frontend. */
  staticDir?: string
  /** Exact origins that may call with credentials. */
  corsOrigins: string[]
  /** Lower-case name of the header that `/api` and the session endpoints demand with the value `1`. */
  csrfHeader: string
  metricsPort?: number
  shutdown: { delayMs: number; timeoutMs: number }
}

/** PEM files, read anew when they change. */
export interface TlsOptions {
  /** The certificate, and after it those that lead to a root. */
  certFile: string
  keyFile: string
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
}

export interface CookieOptions {
  name: string
  sameSite: 'strict' | 'lax' | 'none'
}

export interface UpstreamOptions {
  /** Path below which requests go to this upstream, such as `/api`. */
  prefix: string
  /** Origin and optional base path of the remote API. */
  target: URL
  /** `user`: the signed-in user's access token. `none`: no token and no session needed. */
  token: 'user' | 'none'
  /** PEM certificates to trust instead of the system's. */
  ca?: string
  connectTimeoutMs: number
  /** To the first byte of the answer; streams may then stay open. */
  timeoutMs: number
  /** Names of upstream cookies passed on to the browser. */
  responseCookies: string[]
}
