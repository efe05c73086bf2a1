// Written by `npm run docs` from the schema.
import type { z } from 'zod'
import type { pluginSchema } from './schema/index.ts'
import type { upstreamSchema } from './schema/upstream.ts'

type Input = z.input<typeof pluginSchema>
type UpstreamInput = z.input<typeof upstreamSchema>

/**
 * Options of the plugin: the same as in a configuration file, with the same checks and the same defaults,
 * except those of the server, which belongs to the application.
 */
export interface BffConfiguration {
  /**
   * Origin (and optional base path) at which browsers reach the gateway; redirect URIs derive from it,
   * never from request headers. Plain http on loopback hosts only. Production is `NODE_ENV=production`.
   */
  publicUrl: Input['publicUrl']
  oidc: {
    /**
     * Issuer URL; discovery is lazy and retried: an issuer that is down does not stop the start. Plain
     * http on loopback hosts only, unless `oidc.insecure` is set.
     */
    issuer: Input['oidc']['issuer']
    /**
     * The issuer's address as the gateway reaches it, if that is another than the browser's: its metadata,
     * keys, tokens and UserInfo are fetched there. `iss` and the URLs that browsers are sent to keep the
     * origin of `oidc.issuer`.
     */
    internalUrl?: Input['oidc']['internalUrl']
    /**
     * `true`: plain http towards the issuer is accepted on hosts other than loopback, for an issuer inside
     * a network that you trust. Default `false`.
     */
    insecure?: Input['oidc']['insecure']
    /** Client identifier registered with the issuer. */
    clientId: Input['oidc']['clientId']
    /**
     * Client secret: `client_secret_basic`, or `client_secret_post` when the issuer supports only that.
     * Without a secret, key or certificate the gateway is a public client, which is not for production.
     */
    clientSecret?: Input['oidc']['clientSecret']
    /**
     * Client authentication: `client_secret_basic`, `client_secret_post`, `client_secret_jwt`,
     * `private_key_jwt`, `tls_client_auth`, `self_signed_tls_client_auth` or `none`. See Issuers. Default
     * by what is set and what the issuer offers.
     */
    clientAuth?: Input['oidc']['clientAuth']
    /** JWK (or JWKS, or PEM) file with the private key for `private_key_jwt`, instead of a secret. */
    clientPrivateKeyFile?: Input['oidc']['clientPrivateKeyFile']
    /**
     * PEM file with a client certificate towards the issuer: `tls_client_auth`,
     * `self_signed_tls_client_auth`, and tokens that are bound to the certificate (RFC 8705). Read again
     * each hour.
     */
    clientCertFile?: Input['oidc']['clientCertFile']
    /** PEM file with the client certificate's private key, not encrypted. */
    clientKeyFile?: Input['oidc']['clientKeyFile']
    /**
     * Audience of the assertions of `private_key_jwt` and `client_secret_jwt`: `issuer`, `token_endpoint`,
     * or the audience itself. Entra ID and Okta need `token_endpoint`. Default `issuer`.
     */
    clientAssertionAudience?: Input['oidc']['clientAssertionAudience']
    /**
     * The algorithm that ID tokens and logout tokens must be signed with, such as `RS256`. `HS256`,
     * `HS384` and `HS512` are with `oidc.clientSecret`. Default metadata's asymmetric ones.
     */
    idTokenAlg?: Input['oidc']['idTokenAlg']
    /**
     * JWK, JWKS or PEM file with the private key for encrypted ID tokens, logout tokens, UserInfo and
     * authorization responses: RSA for `RSA-OAEP-256`, EC or X25519 for `ECDH-ES`. Read again each hour.
     */
    decryptionKeyFile?: Input['oidc']['decryptionKeyFile']
    /**
     * Accepted difference between the issuer's clock and the gateway's, for `exp`, `nbf`, `iat` and
     * `auth_time`. Default `30s`.
     */
    clockTolerance?: Input['oidc']['clockTolerance']
    /**
     * Scopes to request, separated by spaces; `openid` must be among them. Default `openid profile email`,
     * and `offline_access` where the issuer's metadata list it.
     */
    scope?: Input['oidc']['scope']
    /** Extra authorization parameters as a query string: `prompt=consent&acr_values=…&resource=…`. */
    authorizationParams?: Input['oidc']['authorizationParams']
    /**
     * `true`: tokens are bound to a key of the session (DPoP, RFC 9449), towards the issuer and every API.
     * See Issuers. Default `false`.
     */
    dpop?: Input['oidc']['dpop']
    /**
     * Pushed authorization requests (RFC 9126): `auto` when the metadata demand them; `always`; `never`.
     * Some issuers demand them of a client without saying so in the metadata. Default `auto`.
     */
    par?: Input['oidc']['par']
    /**
     * Authorization requests signed with `oidc.clientPrivateKeyFile` (JAR, RFC 9101): `auto` when the
     * metadata demand them; `always`; `never`. Default `auto`.
     */
    requestObject?: Input['oidc']['requestObject']
    /**
     * How the authorization response comes: `query` in the URL, `form_post` as a form, `jwt` and
     * `form_post.jwt` signed by the issuer (JARM). See Issuers. Default `query`.
     */
    responseMode?: Input['oidc']['responseMode']
    /**
     * The callback's `iss` (RFC 9207): `auto` demands it where the metadata announce it; `optional` is for
     * issuers that announce it and don't send it. Default `auto`.
     */
    issParameter?: Input['oidc']['issParameter']
    /**
     * Where the browser logs out, instead of the metadata's end session endpoint: a URL in which
     * `client_id` and `return_url` are filled in. For Cognito and old Auth0 tenants, see Issuers.
     */
    logoutUrl?: Input['oidc']['logoutUrl']
    /**
     * `false`: the ID token's claims are enough, UserInfo is not called. For issuers whose access tokens
     * are for one API only, and refused at UserInfo. Default `true`.
     */
    userinfo?: Input['oidc']['userinfo']
    /**
     * How long a request waits for the issuer (the answer to a token grant is awaited for 2.5 times as
     * long). Default `5s`.
     */
    timeout?: Input['oidc']['timeout']
  }
  session: {
    /** Comma-separated base64 32-byte keys; the first seals, all open (rotation). */
    keys: Input['session']['keys']
    /**
     * How long a session lives after it was last used (sliding); unset, never longer than
     * `session.lifetime`. Default `8h`.
     */
    idleTimeout?: Input['session']['idleTimeout']
    /** How long a session lives at the most (absolute). Default `7d`. */
    lifetime?: Input['session']['lifetime']
    /**
     * Device Bound Session Credentials: `auto` binds a session to the browser's device where the browser
     * can, `required` refuses sessions that are not bound within a minute, `off`. Default `auto` on https,
     * `off` on http.
     */
    binding?: Input['session']['binding']
    /** The most sessions that one user has at a time; with one more, the oldest ends. Default `100`. */
    maxPerUser?: Input['session']['maxPerUser']
  }
  cookie?: {
    /**
     * Name of the session cookie; `__Host-`, `__Secure-` and `__Http-` need https. Default `__Host-bff` on
     * https, `bff` on http.
     */
    name?: NonNullable<Input['cookie']>['name']
    /** `strict`, `lax` or `none` (which needs https). Default `strict`. */
    sameSite?: NonNullable<Input['cookie']>['sameSite']
  } | undefined
  /**
   * Where sessions are kept: `redis://host:port`, `sentinel://host:port,…/master-name` or
   * `cluster://host:port,…`; `rediss://`, `sentinels://` and `clusters://` over TLS (Redis). Unset: in
   * the memory of this one process.
   */
  redisUrl?: Input['redisUrl']
  redis?: {
    /**
     * PEM file with the certificates to trust instead of the system's, for Redis and Sentinels over TLS.
     * These three files are read again for each new connection.
     */
    caFile?: NonNullable<Input['redis']>['caFile']
    /** PEM file with the client certificate towards Redis and Sentinels. */
    certFile?: NonNullable<Input['redis']>['certFile']
    /** PEM file with the client certificate's private key, not encrypted. */
    keyFile?: NonNullable<Input['redis']>['keyFile']
    /** Password of the Sentinels, where it is not that of Redis. Default the password in `redisUrl`. */
    sentinelPassword?: NonNullable<Input['redis']>['sentinelPassword']
  } | undefined
  /**
   * How long a request waits for a Redis that does not answer before it gets 503: a shorter failover
   * causes a delay and no error. Default `5s`.
   */
  storeTimeout?: Input['storeTimeout']
  /**
   * How long before its expiry an access token is renewed (at most half the token's lifetime). Default
   * `60s`.
   */
  refreshBeforeExpiration?: Input['refreshBeforeExpiration']
  /**
   * Shorthand for one upstream: `/api/*` → `apiUrl/*` with the user's token. Plain http on loopback
   * hosts only.
   */
  apiUrl?: Input['apiUrl']
  /** Remote APIs, each at a prefix of its own. Default `[]`. */
  upstreams?: BffUpstreamConfiguration[] | undefined
  /** Folder with the built frontend, served with SPA fallback to `index.html`. */
  staticDir?: Input['staticDir']
  /**
   * The frontend's development server, such as Vite's, instead of `staticDir`: every path that is not
   * the gateway's own comes from there, hot reload included. Plain http on loopback hosts only.
   */
  frontendUrl?: Input['frontendUrl']
  /**
   * PEM file with the certificates to trust instead of the system's, for a development server with a
   * certificate of its own.
   */
  frontendCaFile?: Input['frontendCaFile']
  /** Name of the application, shown on the gateway's error pages. */
  frontendName?: Input['frontendName']
  /** Colour of these pages, as `#rrggbb`. */
  frontendColor?: Input['frontendColor']
  /**
   * `true`: the frontend is for signed-in users only. Without a session, a page redirects to the login
   * and back, and assets return 401. Default `false`.
   */
  requireLogin?: Input['requireLogin']
  /**
   * Directives that widen the Content-Security-Policy of pages from `staticDir`, separated by
   * semicolons: `connect-src https://o1.ingest.sentry.io; worker-src blob:`. Inline scripts and event
   * handlers of a page are allowed by their hashes.
   */
  frontendCsp?: Input['frontendCsp']
  /**
   * Comma-separated exact origins allowed with credentials; `returnUrl` of login and logout may lead
   * there too.
   */
  corsOrigins?: Input['corsOrigins']
  /**
   * Comma-separated response headers that scripts of those origins may read, besides `BFF-Login-URL`,
   * `Retry-After` and `WWW-Authenticate`.
   */
  corsExposedHeaders?: Input['corsExposedHeaders']
  /** Header that `/api` and the session endpoints demand with value `1`. Default `x-csrf`. */
  csrfHeader?: Input['csrfHeader']
  /** Port of `/metrics`; unset: none. */
  metricsPort?: Input['metricsPort']
  /** Address on which `/metrics` listens. Default `host`. */
  metricsHost?: Input['metricsHost']
  /** Port of the administrator's API, with `adminToken`; unset: none. */
  adminPort?: Input['adminPort']
  /** Address on which the administrator's API listens. Default `127.0.0.1`. */
  adminHost?: Input['adminHost']
  /** Bearer token for the administrator's API, at least 32 random characters. */
  adminToken?: Input['adminToken']
}

export interface BffUpstreamConfiguration {
  /**
   * Path below which requests go there: with the target `https://api.example.com/v2`, `/api/orders`
   * becomes `/v2/orders`. The longest that fits wins, `/api/v2` over `/api`.
   */
  prefix: UpstreamInput['prefix']
  /** URL of the API, with a base path if it has one. Requests can't leave that path. */
  target: UpstreamInput['target']
  /**
   * `user`: the signed-in user's access token. `client`: the gateway's own, by client credentials; no
   * session needed. `user-or-client` and `user-or-none`: the user's, or without a session the gateway's
   * or none. `none`: no token, and no session needed. Default `user`.
   */
  token?: UpstreamInput['token']
  /** Scopes of a token for this API only. */
  scope?: UpstreamInput['scope']
  /** Likewise, its resource: an absolute URI (RFC 8707). */
  resource?: UpstreamInput['resource']
  /** Likewise, its audience, for issuers that identify APIs by it. */
  audience?: UpstreamInput['audience']
  /** The API's token is exchanged for the user's (RFC 8693). Default `false`. */
  exchange?: UpstreamInput['exchange']
  /**
   * Methods that may be used, of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS; any other is 405. GET
   * includes HEAD. Where they are limited, `X-HTTP-Method-Override`, `X-HTTP-Method` and
   * `X-Method-Override` are removed. Default all seven.
   */
  methods?: UpstreamInput['methods']
  /**
   * `false`: the CSRF header is not demanded, for what a browser loads by itself. See below. Default
   * `true`.
   */
  csrf?: UpstreamInput['csrf']
  /** Allows plain http to hosts other than loopback. Default `false`. */
  insecure?: UpstreamInput['insecure']
  /**
   * PEM certificates to trust instead, or the path of a file that holds them. Certificates are always
   * verified. Default the system's.
   */
  ca?: UpstreamInput['ca']
  /** PEM client certificate of the gateway (mutual TLS), or the path of a file that holds it. */
  clientCert?: UpstreamInput['clientCert']
  /** Its private key, without a passphrase, or the path of a file that holds it. */
  clientKey?: UpstreamInput['clientKey']
  /** Name that the API's certificate must be for, and that is sent as SNI. Default the target's host. */
  serverName?: UpstreamInput['serverName']
  /**
   * Offers HTTP/2 to the API, many requests at a time on each connection. WebSockets stay with HTTP/1.1.
   * Requests under way are still answered when an API sends GOAWAY; a request that the API did not
   * process is sent once more, unless its body was not kept. Default `false`.
   */
  http2?: UpstreamInput['http2']
  /**
   * The most connections, and requests at a time; others wait, for `timeout` at most, then get 504. An
   * open stream counts, a WebSocket does not. Default no limit.
   */
  connections?: UpstreamInput['connections']
  /** For the connection. Default `5s`. */
  connectTimeout?: UpstreamInput['connectTimeout']
  /**
   * To the first byte of the answer; interim answers (1xx) don't extend it. Streams may then stay open;
   * those that last longer end with the user's session. Default `30s`.
   */
  timeout?: UpstreamInput['timeout']
  /**
   * How long an unused connection is kept at the most. Less than at the API, or it closes one just as a
   * request is sent. Default `4s`, or what the API says.
   */
  keepAliveTimeout?: UpstreamInput['keepAliveTimeout']
  /** Names of the request headers that reach the API, besides those that the gateway sets. Default all. */
  requestHeaders?: UpstreamInput['requestHeaders']
  /**
   * Names of the browser's cookies that reach the API; never the gateway's own, nor those of other
   * frontends in the process. Default `[]`.
   */
  requestCookies?: UpstreamInput['requestCookies']
  /** Names of headers of an answer that reach the browser besides those that always do. Default `[]`. */
  responseHeaders?: UpstreamInput['responseHeaders']
  /** Names of the API's cookies that reach the browser; all others are dropped. Default `[]`. */
  responseCookies?: UpstreamInput['responseCookies']
}
