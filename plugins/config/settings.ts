import { duration, formatDuration } from './duration.ts'
import { mask, maskPassword } from './mask.ts'
import type { GatewayOptions } from './options.ts'
import * as parse from './parsers.ts'
import * as urls from './urls.ts'

/** An environment variable. All that is known of it stands here: checks, documents and descriptions derive from it. */
export interface Setting<T = unknown> {
  parse: parse.Parser<T>
  /** As one would write it in the environment. */
  default?: string
  /** In Markdown, for the documents, where the default depends on something. */
  defaultText?: string
  /** Said when it is missing: how to mend that. */
  required?: string
  /** Neither its value nor a part of it is ever shown. */
  secret?: true
  /** Joins the entries of an array in the file. Without it an array is a fault. */
  separator?: string
  /** A path in the file is relative to the file's folder. */
  isPath?: true
  /** One line of Markdown. */
  meaning: string
  /** The value in effect, in the variable's own notation, for whoever may see the console. */
  show: (options: GatewayOptions, environment: Environment) => string | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

export const settings = {
  PUBLIC_URL: {
    parse: urls.baseUrl('https://app.example.com'),
    defaultText: '`http://localhost:PORT` outside production, required in production',
    meaning:
      'Origin (and optional base path) at which browsers reach the gateway; redirect URIs derive from it, never from request headers. Plain http on loopback hosts only. Production is `NODE_ENV=production`',
    show: ({ publicUrl }) => urls.formatUrl(publicUrl),
  },
  HOST: {
    parse: parse.host,
    default: '0.0.0.0',
    meaning: 'Address to listen on',
    show: ({ host }) => host,
  },
  PORT: {
    parse: parse.port,
    default: '3000',
    meaning: 'Port to listen on; `0` takes any free one',
    show: ({ port }) => String(port),
  },
  TLS_CERT_FILE: {
    parse: parse.path,
    isPath: true,
    meaning:
      'PEM file with the certificate, and after it its chain, for TLS of its own with HTTP/2; read anew when it changes. Unset: plain HTTP. Set, the default of `PUBLIC_URL` begins with https',
    show: ({ tls }) => tls?.certFile,
  },
  TLS_KEY_FILE: {
    parse: parse.path,
    isPath: true,
    meaning: "PEM file with the certificate's private key, not encrypted",
    show: ({ tls }) => tls?.keyFile,
  },
  TRUST_PROXY: {
    parse: parse.trustProxy,
    default: 'false',
    separator: ',',
    meaning:
      "Which proxies in front may say who the client is (Fastify's `trustProxy`): `true`, a hop count or a comma-separated list of addresses and CIDR ranges",
    show: ({ trustProxy }) => String(trustProxy),
  },
  LOG_LEVEL: {
    parse: parse.oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: 'info',
    meaning: 'pino level: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
    show: ({ logLevel }) => logLevel,
  },
  OIDC_ISSUER: {
    parse: urls.url('https://login.example.com'),
    required: "set it to the issuer's URL, such as https://login.example.com",
    meaning:
      'Issuer URL; discovery is lazy and retried: an issuer that is down does not stop the start. Plain http on loopback hosts only',
    show: ({ oidc }) => urls.formatUrl(oidc.issuer),
  },
  OIDC_CLIENT_ID: {
    parse: parse.line,
    required: 'set it to the client identifier that the issuer knows the gateway by',
    meaning: 'Client identifier registered with the issuer',
    show: ({ oidc }) => oidc.clientId,
  },
  OIDC_CLIENT_SECRET: {
    parse: parse.line,
    secret: true,
    meaning:
      'Client secret: `client_secret_basic`, or `client_secret_post` when the issuer supports only that. Without a secret or key the gateway is a public client, which is not for production',
    show: ({ oidc }) => oidc.clientSecret && mask,
  },
  OIDC_CLIENT_PRIVATE_KEY_FILE: {
    parse: parse.path,
    isPath: true,
    meaning: 'JWK (or JWKS, or PEM) file with the private key for `private_key_jwt`, instead of a secret',
    show: ({ oidc }) => oidc.clientPrivateKeyFile,
  },
  OIDC_SCOPE: {
    parse: parse.scope,
    default: 'openid profile email offline_access',
    separator: ' ',
    meaning: 'Scopes to ask for, separated by spaces; `openid` must be among them',
    show: ({ oidc }) => oidc.scope,
  },
  OIDC_AUTHORIZATION_PARAMS: {
    parse: urls.authorizationParameters,
    separator: '&',
    meaning: 'Extra authorization parameters as a query string: `prompt=consent&acr_values=…&resource=…`',
    show: ({ oidc }) => String(oidc.authorizationParams),
  },
  OIDC_TIMEOUT: {
    parse: duration('100ms', '2m'),
    default: '5s',
    meaning:
      'How long a request waits for the issuer (a token grant itself is listened to for 2.5 times as long)',
    show: ({ oidc }) => formatDuration(oidc.timeoutMs),
  },
  SESSION_KEYS: {
    parse: parse.keys,
    defaultText: 'random outside production (with a warning), required in production',
    separator: ',',
    secret: true,
    meaning: 'Comma-separated base64 32-byte keys; the first seals, all open (rotation)',
    show: ({ session }) => session.keys.map(() => mask).join(','),
  },
  SESSION_IDLE_TIMEOUT: {
    parse: duration('1s', '400d'),
    default: '8h',
    meaning:
      'How long a session lives after it was last used (sliding); unset, never longer than `SESSION_LIFETIME`',
    show: ({ session }) => formatDuration(session.idleTimeoutMs),
  },
  SESSION_LIFETIME: {
    parse: duration('1s', '400d'),
    default: '7d',
    meaning: 'How long a session lives at the most (absolute)',
    show: ({ session }) => formatDuration(session.lifetimeMs),
  },
  SESSION_MAX_PER_USER: {
    parse: parse.wholeNumber(1, 10_000),
    default: '100',
    meaning: 'The most sessions that one user has at a time; with one more, the oldest ends',
    show: ({ session }) => String(session.maxPerUser),
  },
  COOKIE_NAME: {
    parse: parse.cookieName,
    defaultText: '`__Host-bff` on https, `bff` on http',
    meaning: 'Name of the session cookie; `__Host-`, `__Secure-` and `__Http-` need https',
    show: ({ cookie }) => cookie.name,
  },
  COOKIE_SAMESITE: {
    parse: parse.oneOf('strict', 'lax', 'none'),
    default: 'strict',
    meaning: '`strict`, `lax` or `none` (which needs https)',
    show: ({ cookie }) => cookie.sameSite,
  },
  REDIS_URL: {
    parse: urls.redisUrl,
    secret: true,
    meaning:
      'Where sessions are kept: `redis://host:port`, `sentinel://host:port,…/master-name` or `cluster://host:port,…`; `rediss://`, `sentinels://` and `clusters://` over TLS ([Redis](docs/redis.md)). Unset: in the memory of this one process',
    show: ({ redisUrl }) => redisUrl && maskPassword(redisUrl),
  },
  REDIS_CA_FILE: {
    parse: parse.path,
    isPath: true,
    meaning:
      "PEM file with the certificates to trust instead of the system's, for Redis and Sentinels over TLS. These three files are read again for each new connection",
    show: ({ redisAccess }) => redisAccess?.caFile,
  },
  REDIS_CERT_FILE: {
    parse: parse.path,
    isPath: true,
    meaning: 'PEM file with the client certificate towards Redis and Sentinels',
    show: ({ redisAccess }) => redisAccess?.certFile,
  },
  REDIS_KEY_FILE: {
    parse: parse.path,
    isPath: true,
    meaning: "PEM file with the client certificate's private key, not encrypted",
    show: ({ redisAccess }) => redisAccess?.keyFile,
  },
  REDIS_SENTINEL_PASSWORD: {
    parse: parse.line,
    secret: true,
    defaultText: 'the password in `REDIS_URL`',
    meaning: 'Password of the Sentinels, where it is not that of Redis',
    show: ({ redisAccess }) => redisAccess?.sentinelPassword && mask,
  },
  STORE_TIMEOUT: {
    parse: duration('100ms', '1m'),
    default: '5s',
    meaning:
      'How long a request waits for a Redis that does not answer before it gets 503: a failover that is over sooner costs a wait and no error',
    show: ({ storeTimeoutMs }) => formatDuration(storeTimeoutMs),
  },
  REFRESH_BEFORE_EXPIRATION: {
    parse: duration('100ms', '1d'),
    default: '60s',
    meaning: "How long before its expiry an access token is renewed (at most half the token's lifetime)",
    show: ({ refreshBeforeExpirationMs }) => formatDuration(refreshBeforeExpirationMs),
  },
  API_URL: {
    parse: urls.baseUrl('https://api.example.com'),
    meaning:
      "Shorthand for one upstream: `/api/*` → `API_URL/*` with the user's token. Plain http on loopback hosts only",
    show: ({ upstreams }) => {
      const api = upstreams.find(({ prefix, token }) => prefix === '/api' && token === 'user')
      return api && urls.formatUrl(api.target)
    },
  },
  CONFIG_FILE: {
    parse: parse.path,
    isPath: true,
    meaning:
      'JSON file with the same options as a tree, and `upstreams: [{ prefix, target, token, … }]`; the environment wins over it',
    show: (_, environment) => environment['CONFIG_FILE'],
  },
  STATIC_DIR: {
    parse: parse.path,
    isPath: true,
    meaning: 'Folder with the built frontend, served with SPA fallback to `index.html`',
    show: ({ staticDir }) => staticDir,
  },
  FRONTEND_URL: {
    parse: urls.baseUrl('http://localhost:5173'),
    meaning:
      "The frontend's development server, such as Vite's, instead of `STATIC_DIR`: whatever is not the gateway's own comes from there, hot reload included. Plain http on loopback hosts only",
    show: ({ frontendUrl }) => frontendUrl && urls.formatUrl(frontendUrl),
  },
  REQUIRE_LOGIN: {
    parse: parse.flag,
    default: 'false',
    meaning:
      '`true`: the frontend is for those who are signed in. Whoever opens a page of it is sent to the login and back; its files are 401',
    show: ({ requireLogin }) => String(requireLogin),
  },
  CORS_ORIGINS: {
    parse: urls.origins,
    separator: ',',
    meaning: 'Comma-separated exact origins allowed with credentials',
    show: ({ corsOrigins }) => corsOrigins.join(','),
  },
  CSRF_HEADER: {
    parse: parse.customHeader,
    default: 'x-csrf',
    meaning: 'Header that `/api` and the session endpoints demand with value `1`',
    show: ({ csrfHeader }) => csrfHeader,
  },
  METRICS_PORT: {
    parse: parse.port,
    meaning: 'Port of `/metrics`; unset: none',
    show: ({ metricsPort }) => metricsPort?.toString(),
  },
  METRICS_HOST: {
    parse: parse.host,
    defaultText: '`HOST`',
    meaning: 'Address on which `/metrics` listens',
    show: ({ metricsHost }) => metricsHost,
  },
  KEEP_ALIVE_TIMEOUT: {
    parse: duration('1s', '1h'),
    default: '75s',
    meaning:
      'How long an idle client connection is kept; longer than a load balancer in front keeps its own, or it would send a request on one that is just closing',
    show: ({ keepAliveTimeoutMs }) => formatDuration(keepAliveTimeoutMs),
  },
  SHUTDOWN_DELAY: {
    parse: duration('0s', '10m'),
    default: '5s',
    meaning:
      'After SIGTERM: how long `/readyz` answers 503 and answers carry `Connection: close` before the listener closes (SIGINT: none)',
    show: ({ shutdown }) => formatDuration(shutdown.delayMs),
  },
  SHUTDOWN_TIMEOUT: {
    parse: duration('0s', '1h'),
    default: '30s',
    meaning: 'Then: deadline for requests in flight',
    show: ({ shutdown }) => formatDuration(shutdown.timeoutMs),
  },
} as const satisfies Record<string, Setting>

type Settings = typeof settings

export type SettingName = keyof Settings

/** What the variables say once all is well: those with a default or required always say something. */
export type Values = {
  [Name in SettingName]:
    | ReturnType<Settings[Name]['parse']>
    | (Settings[Name] extends { default: string } | { required: string } ? never : undefined)
}

/** In the order of the documents. */
export const settingNames = Object.keys(settings) as SettingName[]

/** Settings whose value can also be read from the file that `NAME_FILE` names. */
export const secretNames = settingNames.filter((name) => settingOf(name).secret)

/** The variable that names the file with a secret, as Kubernetes and Docker mount them. */
export function fileVariable(name: SettingName): string {
  return `${name}_FILE`
}

export function settingOf(name: SettingName): Setting {
  return settings[name]
}
