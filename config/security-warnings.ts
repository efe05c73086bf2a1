import type { GatewayOptions } from './schema/index.ts'
import { makeKey } from './schema/parsers.ts'
import { isLoopback, isPlainHttp } from './schema/urls.ts'

/** Warnings about permitted settings that weaken the gateway, each with a remedy. No value is repeated. `{redisUrl}` is replaced by the name of that option. */
export function securityWarnings(options: GatewayOptions): string[] {
  const { publicUrl, cookie, trustProxy, oidc, redisUrl, session, upstreams, frontendCsp } = options
  const warnings: string[] = []

  if (publicUrl.protocol === 'https:' && !/^__(host|http|secure)-/i.test(cookie.name)) {
    warnings.push(
      '{cookie.name} has no __Host- prefix: a sibling subdomain, or plain http, can set a cookie of this name; leave it unset, or begin it with __Host-',
    )
  }
  if (cookie.sameSite === 'none') {
    warnings.push(
      '{cookie.sameSite} is none: browsers send the session cookie with requests of every other site, and only the CSRF header and Origin checks are left; use strict or lax unless the frontend is on another site',
    )
  }
  if (trustProxy === true) {
    warnings.push(
      '{trustProxy} is true: every client can choose the address that it is logged and limited by; set the number of proxies in front or their addresses',
    )
  }
  const { issuer, internalUrl } = oidc
  if (isPlainHttp(internalUrl ?? issuer)) {
    const name = internalUrl ? '{oidc.internalUrl}' : '{oidc.issuer}'
    warnings.push(`${name} is reached by plain http: the client secret and all tokens can be read on the way`)
  }
  if (internalUrl && isPlainHttp(issuer)) {
    warnings.push(
      '{oidc.issuer} begins with http: passwords can be read on the way from the browser to the issuer',
    )
  }
  if (redisUrl !== undefined && isPlainRedis(redisUrl)) {
    warnings.push(
      '{redisUrl} is not encrypted and leads to another host: its password and the commands can be read and changed on the way; use TLS (rediss://)',
    )
  }
  for (const { prefix } of upstreams.filter(({ target, token }) => token !== 'none' && isPlainHttp(target))) {
    warnings.push(
      `The upstream at ${prefix} is reached by plain http: access tokens can be read on the way; use https, also inside a network of your own`,
    )
  }
  if (frontendCsp.some(allowsInjectedScripts)) {
    warnings.push(
      '{frontendCsp} lets pages run scripts of any origin, inline scripts or evaluated text, and so what an attacker manages to inject; allow single origins or hashes',
    )
  }
  if (options.adminPort !== undefined && !isLoopback(options.adminHost)) {
    warnings.push(
      "{adminHost} lets other hosts reach the administrator's API, which is plain http: its token can be read on the way; restrict it to a network of your own",
    )
  }
  return [...warnings, ...keyWarnings(session.keys)]
}

function allowsInjectedScripts(directive: string): boolean {
  const [name = '', ...sources] = directive.toLowerCase().split(' ')
  const risky = ["'unsafe-inline'", "'unsafe-eval'", '*', 'http:', 'https:', 'data:', 'blob:']
  return (
    ['default-src', 'script-src', 'script-src-elem', 'script-src-attr'].includes(name) &&
    sources.some((source) => risky.includes(source))
  )
}

/** Without TLS, and not for this machine only. Sentinels and nodes of a Cluster count as the server itself. */
function isPlainRedis(url: string): boolean {
  const [, hosts] = /^(?:redis|sentinel|cluster):\/\/(?:.*@)?([^/]*)/s.exec(url) ?? []
  return hosts?.split(',').some((host) => !isLoopback(withoutPort(host.trim()))) ?? false
}

function withoutPort(host: string): string {
  return host.replace(/:\d*$/, '')
}

function keyWarnings(keys: Buffer[]): string[] {
  const warnings: string[] = []
  const several = keys.length > 1
  for (const [index, key] of keys.entries()) {
    const name = several ? `Key ${index + 1} of {session.keys}` : 'The key in {session.keys}'
    const weakness = weaknessOf(key)
    if (weakness) warnings.push(`${name} ${weakness}: it can be guessed, and cookies forged; ${makeKey}`)
    if (keys.findIndex((other) => other.equals(key)) < index) {
      warnings.push(`${name} is there twice: rotation needs keys that differ, so remove it`)
    }
  }
  return warnings
}

/** Only one in hundreds of millions of random keys looks like these. */
function weaknessOf(key: Buffer): string | undefined {
  if (key.every((byte) => byte >= 0x20 && byte < 0x7f)) return 'is text, not random bytes'
  // Of 32 random bytes some 30 are distinct, and so are the steps from each to the next.
  const steps = key.subarray(1).map((byte, index) => byte - (key[index] ?? 0))
  const isPattern = new Set(key).size <= fewDistinct || new Set(steps).size <= fewDistinct
  return isPattern ? 'is a pattern, not random bytes' : undefined
}

const fewDistinct = 17
