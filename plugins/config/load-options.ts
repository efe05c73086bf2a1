import type { ConfigFile } from './config-file.ts'
import { ConfigurationError } from './configuration-error.ts'
import { crossChecks, doubts } from './cross-checks.ts'
import { dependentDefaults } from './dependent-defaults.ts'
import { checkFiles } from './file-checks.ts'
import type { Files } from './files.ts'
import type { GatewayOptions, UpstreamOptions } from './options.ts'
import { readSettings } from './read-settings.ts'
import { checkRedisFiles } from './redis-files.ts'
import { securityWarnings } from './security-warnings.ts'
import type { Environment, Values } from './settings.ts'
import { checkTlsFiles } from './tls-files.ts'
import { upstreamChecks } from './upstream-checks.ts'
import { mergeUpstreams, parseUpstreams } from './upstreams.ts'

export interface LoadedOptions {
  options: GatewayOptions
  /** A sentence each: what works but is probably not meant. */
  warnings: string[]
}

/**
 * The options of one gateway.
 *
 * @param file that has been read, or what stands for one
 * @param now milliseconds since the epoch, to know whether a certificate has expired
 * @throws ConfigurationError that lists every fault at once
 */
export function loadOptions(
  environment: Environment,
  file: ConfigFile | undefined,
  files: Files,
  now = Date.now(),
): LoadedOptions {
  const production = environment['NODE_ENV'] === 'production'
  const settings = readSettings(environment, file, files)
  const defaults = dependentDefaults(settings, production && !file?.unusable)
  const { values } = defaults
  const inFile = file && parseUpstreams(file.upstreams, file.path, files)
  const merged = mergeUpstreams(inFile?.upstreams ?? [], values.API_URL, settings.label('API_URL'))
  const checked = checkFiles(settings, files)
  const tls = checkTlsFiles(settings, files, now)
  const redis = checkRedisFiles(settings, files, now)

  const faults = [file, settings, defaults, inFile, merged, checked, tls, redis].flatMap(
    (step) => step?.faults ?? [],
  )
  faults.push(...crossChecks({ values, label: settings.label }))
  faults.push(...upstreamChecks(merged.upstreams, { values, label: settings.label }))
  if (faults.length > 0) throw new ConfigurationError(faults)

  const complete = values as CompleteValues
  const warnings = [
    ...defaults.warnings,
    ...checked.warnings,
    ...tls.warnings,
    ...redis.warnings,
    ...doubts(complete, { production, environment }),
  ]
  const options = { ...toOptions(complete, merged.upstreams), diagnostics: !production }
  return { options, warnings: [...warnings, ...securityWarnings(options)] }
}

/** Where nothing is wrong, whatever has a default is there. */
type CompleteValues = Values & {
  [Name in 'PUBLIC_URL' | 'SESSION_KEYS' | 'COOKIE_NAME']: NonNullable<Values[Name]>
}

function toOptions(
  values: CompleteValues,
  upstreams: UpstreamOptions[],
): Omit<GatewayOptions, 'diagnostics'> {
  return {
    publicUrl: values.PUBLIC_URL,
    host: values.HOST,
    port: values.PORT,
    ...(values.TLS_CERT_FILE !== undefined &&
      values.TLS_KEY_FILE !== undefined && {
        tls: { certFile: values.TLS_CERT_FILE, keyFile: values.TLS_KEY_FILE },
      }),
    trustProxy: values.TRUST_PROXY,
    logLevel: values.LOG_LEVEL,
    oidc: {
      issuer: values.OIDC_ISSUER,
      clientId: values.OIDC_CLIENT_ID,
      ...(values.OIDC_CLIENT_SECRET !== undefined && { clientSecret: values.OIDC_CLIENT_SECRET }),
      ...(values.OIDC_CLIENT_PRIVATE_KEY_FILE !== undefined && {
        clientPrivateKeyFile: values.OIDC_CLIENT_PRIVATE_KEY_FILE,
      }),
      scope: values.OIDC_SCOPE,
      authorizationParams: values.OIDC_AUTHORIZATION_PARAMS ?? new URLSearchParams(),
      timeoutMs: values.OIDC_TIMEOUT,
    },
    session: {
      keys: values.SESSION_KEYS,
      idleTimeoutMs: values.SESSION_IDLE_TIMEOUT,
      lifetimeMs: values.SESSION_LIFETIME,
      maxPerUser: values.SESSION_MAX_PER_USER,
    },
    cookie: { name: values.COOKIE_NAME, sameSite: values.COOKIE_SAMESITE },
    ...(values.REDIS_URL !== undefined && {
      redisUrl: values.REDIS_URL,
      redisAccess: {
        ...(values.REDIS_CA_FILE !== undefined && { caFile: values.REDIS_CA_FILE }),
        ...(values.REDIS_CERT_FILE !== undefined && { certFile: values.REDIS_CERT_FILE }),
        ...(values.REDIS_KEY_FILE !== undefined && { keyFile: values.REDIS_KEY_FILE }),
        ...(values.REDIS_SENTINEL_PASSWORD !== undefined && {
          sentinelPassword: values.REDIS_SENTINEL_PASSWORD,
        }),
      },
    }),
    storeTimeoutMs: values.STORE_TIMEOUT,
    refreshBeforeExpirationMs: values.REFRESH_BEFORE_EXPIRATION,
    upstreams,
    ...(values.STATIC_DIR !== undefined && { staticDir: values.STATIC_DIR }),
    ...(values.FRONTEND_URL !== undefined && { frontendUrl: values.FRONTEND_URL }),
    requireLogin: values.REQUIRE_LOGIN,
    corsOrigins: values.CORS_ORIGINS ?? [],
    csrfHeader: values.CSRF_HEADER,
    ...(values.METRICS_PORT !== undefined && { metricsPort: values.METRICS_PORT }),
    metricsHost: values.METRICS_HOST ?? values.HOST,
    keepAliveTimeoutMs: values.KEEP_ALIVE_TIMEOUT,
    shutdown: { delayMs: values.SHUTDOWN_DELAY, timeoutMs: values.SHUTDOWN_TIMEOUT },
  }
}
