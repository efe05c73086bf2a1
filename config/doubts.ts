import { join } from 'node:path'
import { type Files, readOr } from './files.ts'
import type { Environment } from './given.ts'
import { isMisspelt, nearest } from './nearest.ts'
import { type GatewayOptions, options } from './schema/index.ts'
import { validityDoubt } from './schema/pem.ts'
import { parseRedisUrl } from './schema/redis-url.ts'
import { isPlainHttp } from './schema/urls.ts'

interface World {
  environment: Environment
  files: Files
  /** Milliseconds since the epoch. */
  now: number
}

/** Warnings about settings that work but are probably not intended. `{redisUrl}` is replaced by the name of that option. */
export function doubts(
  {
    publicUrl,
    tls,
    oidc,
    redisUrl,
    redis,
    staticDir,
    frontendUrl,
    requireLogin,
    corsOrigins,
    adminPort,
    adminToken,
  }: GatewayOptions,
  { environment, files, now }: World,
): string[] {
  const production = environment['NODE_ENV'] === 'production'
  // RFC 10017 section 6.1.3.1. A script in the frontend could begin a login of its own and redeem its code elsewhere.
  const credentials = [oidc.clientSecret, oidc.clientPrivateKeyFile, oidc.clientCertFile]
  const isPublicClient =
    oidc.clientAuth === 'none' || credentials.every((credential) => credential === undefined)
  const hasNoFrontend = staticDir === undefined && frontendUrl === undefined
  const expiry = (name: string, path: string) => {
    const doubt = validityDoubt(files.readText(path), now)
    return doubt && `The certificate of ${name} ${doubt}: renew it`
  }
  const warnings = [
    staticDir !== undefined &&
      ['index.html', 'index.csr.html'].every(
        (page) => typeof readOr(join(staticDir, page), files) !== 'string',
      ) &&
      `{staticDir} has no index.html: ${staticDir}`,
    tls && expiry('{tls.certFile}', tls.certFile),
    oidc.clientCertFile && expiry('{oidc.clientCertFile}', oidc.clientCertFile),
    redis?.certFile && expiry('{redis.certFile}', redis.certFile),
    ...(redisUrl === undefined ? Object.keys(redis ?? {}).filter((name) => name.endsWith('File')) : []).map(
      (name) => `{redis.${name}} does nothing without {redisUrl}`,
    ),
    redisUrl !== undefined &&
      redis?.sentinelPassword !== undefined &&
      parseRedisUrl(redisUrl).kind !== 'sentinel' &&
      '{redis.sentinelPassword} does nothing: {redisUrl} names no Sentinels',
    redisUrl === undefined &&
      production &&
      '{redisUrl} is not set: sessions live in the memory of this process, are lost when it ends and not shared with others',
    isPublicClient &&
      production &&
      'Neither {oidc.clientSecret} nor {oidc.clientPrivateKeyFile} is set, or {oidc.clientAuth} is none: anyone can redeem codes and refresh tokens of a public client, so register a confidential one',
    frontendUrl !== undefined &&
      production &&
      '{frontendUrl} is set: a development server gives out source code and is slow, prefer {staticDir} in production',
    requireLogin &&
      hasNoFrontend &&
      '{requireLogin} does nothing without {staticDir} or {frontendUrl}: it is about the frontend that the gateway serves',
    tls !== undefined &&
      publicUrl.protocol === 'http:' &&
      '{publicUrl} begins with http although {tls.certFile} is set: browsers reach the gateway over https only',
    adminToken !== undefined &&
      adminPort === undefined &&
      "{adminToken} does nothing without {adminPort}: the administrator's API is off",
    ...corsOrigins.map((origin) => {
      const parsed = URL.parse(origin)
      return (
        parsed &&
        isPlainHttp(parsed) &&
        `{corsOrigins} allows ${origin}, which anyone on the network path can impersonate: prefer https`
      )
    }),
    ...likelySlips(environment),
  ]
  return warnings.filter((warning) => typeof warning === 'string')
}

const known = options.flatMap(({ env, secret }) => (secret ? [env, `${env}_FILE`] : [env]))
const prefixes = new Set(known.flatMap((name) => /^[A-Z]+_/.exec(name)?.[0] ?? []))

/** Prefixes that variables of other programs have, too. */
const isCommon = /^(API|CONFIG|LOG|PUBLIC|TRUST)_/

/** Variables with a prefix of ours and a similar name, or that differ from one of ours by a letter or two. */
function likelySlips(environment: Environment): string[] {
  return Object.keys(environment).flatMap((name) => {
    const [prefix = ''] = /^[A-Z]+_/.exec(name) ?? []
    if (!environment[name]?.trim() || isCommon.test(name) || known.includes(name)) return []
    const guess = prefixes.has(prefix) ? nearest(name, known) : known.find((one) => isMisspelt(name, one))
    return guess ? [`${name} is not known and does nothing: did you mean ${guess}?`] : []
  })
}
