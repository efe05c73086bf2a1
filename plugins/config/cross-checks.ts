import { nearest } from './nearest.ts'
import type { ReadSettings } from './read-settings.ts'
import { type Environment, fileVariable, secretNames, settingNames, type Values } from './settings.ts'
import { isPlainHttp } from './urls.ts'

/** Rules between variables, each told once both are right by themselves. */
export function crossChecks({ values, label }: Pick<ReadSettings, 'values' | 'label'>): string[] {
  const faults: string[] = []
  const https = values.PUBLIC_URL && values.PUBLIC_URL.protocol === 'https:'

  if (https === false && /^__(host|secure|http)-/i.test(values.COOKIE_NAME ?? '')) {
    faults.push(
      `${label('COOKIE_NAME')} begins with __Host-, __Secure- or __Http-, which browsers accept on https only: give PUBLIC_URL https or choose a name such as bff`,
    )
  }
  if (https === false && values.COOKIE_SAMESITE === 'none') {
    faults.push(
      `${label('COOKIE_SAMESITE')} is none, which browsers accept on https only: give PUBLIC_URL https or use strict or lax`,
    )
  }
  if (values.OIDC_CLIENT_SECRET !== undefined && values.OIDC_CLIENT_PRIVATE_KEY_FILE !== undefined) {
    faults.push(
      `${label('OIDC_CLIENT_SECRET')} and ${label('OIDC_CLIENT_PRIVATE_KEY_FILE')} are both set: remove one, as the gateway proves who it is in one way only`,
    )
  }
  if (
    values.SESSION_IDLE_TIMEOUT &&
    values.SESSION_LIFETIME &&
    values.SESSION_IDLE_TIMEOUT > values.SESSION_LIFETIME
  ) {
    faults.push(
      `${label('SESSION_IDLE_TIMEOUT')} is longer than ${label('SESSION_LIFETIME')}: make it shorter, or the lifetime longer`,
    )
  }
  if (values.STATIC_DIR !== undefined && values.FRONTEND_URL !== undefined) {
    faults.push(
      `${label('STATIC_DIR')} and ${label('FRONTEND_URL')} are both set: remove one, as the frontend comes from a folder or from its development server`,
    )
  }
  if (values.FRONTEND_URL && isOurs(values.FRONTEND_URL, values)) {
    faults.push(
      `${label('FRONTEND_URL')} is the gateway itself: give it the address of the development server, such as http://localhost:5173`,
    )
  }
  if (values.METRICS_PORT && values.METRICS_PORT === values.PORT) {
    faults.push(
      `${label('METRICS_PORT')} is the same as ${label('PORT')}: give it another, since metrics are not for the public`,
    )
  }
  return faults
}

/** Plain http is for this machine, where the gateway itself has that port. */
function isOurs({ origin, protocol, port }: URL, { PUBLIC_URL, PORT }: Partial<Values>): boolean {
  return origin === PUBLIC_URL?.origin || (protocol === 'http:' && Number(port || 80) === PORT)
}

/** What works but is probably not meant. */
export function doubts(
  values: Values,
  { production, environment }: { production: boolean; environment: Environment },
): string[] {
  const warnings: string[] = []
  if (values.REDIS_URL === undefined && production) {
    warnings.push(
      'REDIS_URL is not set: sessions live in the memory of this process, are lost when it ends and not shared with others',
    )
  }
  // RFC 10017 section 6.1.3.1. A script in the frontend could begin a login of its own and redeem its code elsewhere.
  const { OIDC_CLIENT_SECRET: secret, OIDC_CLIENT_PRIVATE_KEY_FILE: key } = values
  if (secret === undefined && key === undefined && production) {
    warnings.push(
      'Neither OIDC_CLIENT_SECRET nor OIDC_CLIENT_PRIVATE_KEY_FILE is set: as a public client anybody can redeem codes and refresh tokens in the name of the gateway, so register a confidential one',
    )
  }
  if (values.FRONTEND_URL !== undefined && production) {
    warnings.push(
      'FRONTEND_URL is set: a development server gives out source code and is slow, prefer STATIC_DIR in production',
    )
  }
  if (values.REQUIRE_LOGIN && values.STATIC_DIR === undefined && values.FRONTEND_URL === undefined) {
    warnings.push(
      'REQUIRE_LOGIN does nothing without STATIC_DIR or FRONTEND_URL: it is about the frontend that the gateway serves',
    )
  }
  if (values.TLS_CERT_FILE !== undefined && values.PUBLIC_URL?.protocol === 'http:') {
    warnings.push(
      'PUBLIC_URL begins with http although TLS_CERT_FILE is set: browsers reach the gateway by https alone',
    )
  }
  for (const origin of values.CORS_ORIGINS ?? []) {
    const parsed = URL.parse(origin)
    if (parsed && isPlainHttp(parsed))
      warnings.push(`CORS_ORIGINS allows ${origin}, which anybody on the way can impersonate: prefer https`)
  }
  return [...warnings, ...likelySlips(environment)]
}

const ourPrefixes =
  /^(OIDC|SESSION|COOKIE|REDIS|SHUTDOWN|REFRESH|CORS|CSRF|STATIC|FRONTEND|REQUIRE|TLS|KEEP_ALIVE|METRICS)_/

function likelySlips(environment: Environment): string[] {
  const known = [...settingNames, ...secretNames.map(fileVariable)]
  const unknown = Object.keys(environment).filter(
    (name) => environment[name]?.trim() && ourPrefixes.test(name) && !known.includes(name),
  )
  return unknown.flatMap((name) => {
    const guess = nearest(name, known)
    return guess ? [`${name} is not known and does nothing: did you mean ${guess}?`] : []
  })
}
