import type { Method, TokenKind } from './options.ts'

/** `500ms`, `15s`, `10m`, `8h` or `7d`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/**
 * What the plugin is told: the same options as in a configuration file, with the same checks and the same defaults,
 * but for those that are the business of the application's own server.
 */
export interface BffConfiguration {
  /**
   * Origin and optional base path at which browsers reach the application. Redirect URIs derive from it alone, never
   * from request headers. Plain http on loopback hosts only.
   */
  publicUrl: string | URL
  oidc: BffOidcConfiguration
  session: BffSessionConfiguration
  cookie?: BffCookieConfiguration
  /**
   * Where sessions are kept: `redis://host:port`, `sentinel://host:port,…/master-name` or `cluster://host:port,…`;
   * `rediss://`, `sentinels://` and `clusters://` over TLS. Default: the memory of this one process.
   */
  redisUrl?: string
  /** Path of a PEM file with the certificates to trust for Redis and Sentinels over TLS. Default: the system's. */
  redisCaFile?: string
  /** Path of a PEM file with the client certificate towards Redis and Sentinels. Default: none is sent. */
  redisCertFile?: string
  /** Path of a PEM file with its private key, not encrypted. */
  redisKeyFile?: string
  /** Of the Sentinels. Default: the password in `redisUrl`. */
  redisSentinelPassword?: string
  /** How long a request waits for a Redis that doesn't answer before it gets 503. Default `5s`. */
  storeTimeout?: Duration
  /** How long before its expiry an access token is renewed, at most half its lifetime. Default `60s`. */
  refreshBeforeExpiration?: Duration
  /** Shorthand for one upstream: `/api/*` goes to `API_URL/*` with the user's token. */
  apiUrl?: string | URL
  /** Remote APIs, each at a prefix of its own. Default: none. */
  upstreams?: BffUpstreamConfiguration[]
  /** Folder with the built frontend, served with a fallback to its `index.html`. Default: none is served. */
  staticDir?: string
  /** Instead of `staticDir`: the frontend's development server, to which whatever is not ours is passed on. */
  frontendUrl?: string | URL
  /** The frontend is for those who are signed in: others are sent to the login and back. Default `false`. */
  requireLogin?: boolean
  /** Exact origins, other than that of `publicUrl`, whose pages may call with credentials. Default: none. */
  corsOrigins?: string | string[]
  /** Header that upstreams, session endpoints and `app.bff.guard` demand with the value `1`. Default `x-csrf`. */
  csrfHeader?: string
  /** Port of `/metrics`, which is not for the public. Default: nothing is counted. */
  metricsPort?: number
  /** Address on which `/metrics` listens. Default `0.0.0.0`. */
  metricsHost?: string
}

export interface BffOidcConfiguration {
  /** Issuer URL. One that is down does not stop the start: discovery is tried again. */
  issuer: string | URL
  /** Client identifier registered with the issuer. */
  clientId: string
  /** Default: none, and with no key either a public client. */
  clientSecret?: string
  /** Path of a JWK, JWKS or PEM file for `private_key_jwt`, instead of a secret. */
  clientPrivateKeyFile?: string
  /** Separated by spaces; `openid` must be among them. Default `openid profile email offline_access`. */
  scope?: string | string[]
  /** Sent with every authorization request, as a query string. */
  authorizationParams?: string | URLSearchParams
  /** How long a request waits for the issuer. Default `5s`. */
  timeout?: Duration
}

export interface BffSessionConfiguration {
  /**
   * 32 bytes each, as Buffers or base64: they seal the cookies. The first seals, all open, so that keys can be
   * rotated; the same in every process.
   */
  keys: string | Buffer | (string | Buffer)[]
  /** How long a session lives after it was last used. Default `8h`, and never longer than `lifetime`. */
  idleTimeout?: Duration
  /** How long a session lives at the most. Default `7d`. */
  lifetime?: Duration
  /** The most sessions that one user has at a time; with one more, the oldest ends. Default 100. */
  maxPerUser?: number
}

export interface BffCookieConfiguration {
  /** Default `__Host-bff` on https, `bff` on http. */
  name?: string
  /** Default `strict`. */
  sameSite?: 'strict' | 'lax' | 'none'
}

export interface BffUpstreamConfiguration {
  /** Path below which requests go to this upstream, such as `/api`. */
  prefix: string
  /** Origin and optional base path of the remote API. Requests can't leave that path. */
  target: string | URL
  /**
   * `user`, the default: the signed-in user's access token. `client`: the application's own, by client credentials.
   * `user-or-client`, `user-or-none`: the user's, or without a session that or none. `none`: no token, no session needed.
   */
  token?: TokenKind
  /** Of a token for this API alone; separated by spaces. Default: it gets the token that the login brought. */
  scope?: string
  /** Likewise: an absolute URI. @see https://www.rfc-editor.org/rfc/rfc8707 */
  resource?: string
  /** Likewise, for issuers that know APIs by it. */
  audience?: string
  /** Such a token is given in exchange for the user's. Default `false`. @see https://www.rfc-editor.org/rfc/rfc8693 */
  exchange?: boolean
  /** Methods that may be used; any other is 405. GET brings HEAD along. Default: all seven. */
  methods?: Method[]
  /** `false`: the CSRF header is not demanded, for what a browser loads by itself. Default `true`. */
  csrf?: boolean
  /** Allows plain http to hosts other than loopback. Default `false`. */
  insecure?: boolean
  /** PEM certificates to trust instead of the system's, or the path of a file that holds them. */
  ca?: string
  /** PEM certificate by which the gateway shows who it is (mutual TLS), or the path of a file that holds it. */
  clientCert?: string
  /** Its private key, or the path of a file that holds it. */
  clientKey?: string
  /** Name that the API's certificate must be for, and that is asked for (SNI). Default: the target's host. */
  serverName?: string
  /** Offers HTTP/2 to the API. Default `false`. */
  http2?: boolean
  /** The most connections that requests may use at a time; others wait, for `timeout` at most. Default: no limit. */
  connections?: number
  /** Default `5s`. */
  connectTimeout?: Duration
  /** To the first byte of the answer; streams may then stay open. Default `30s`. */
  timeout?: Duration
  /** How long an unused connection is kept at the most. Default `4s`, or what the API says. */
  keepAliveTimeout?: Duration
  /** Names of the request headers that reach the API, besides those that we set. Default: all. */
  requestHeaders?: string[]
  /** Names of the browser's cookies that reach the API; never our own. Default: none. */
  requestCookies?: string[]
  /** Names of headers of an answer that reach the browser besides the usual ones (docs/upstreams.md). Default: none. */
  responseHeaders?: string[]
  /** Names of upstream cookies passed on to the browser. Default: none. */
  responseCookies?: string[]
}
