import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { InjectOptions } from 'fastify'
import type { InjectBrowser } from '../support/inject-browser.ts'
import {
  type InjectGateway,
  type InjectGatewayOptions,
  startInjectGateway,
} from '../support/inject-gateway.ts'

export const publicUrl = 'https://app.example.com'
export const sessionCookie = '__Host-bff'
export const proofCookie = '__Host-bff-bound'

/** As behind a proxy that speaks TLS. */
export function startBoundGateway(
  t: TestContext,
  { env, ...options }: InjectGatewayOptions = {},
): Promise<InjectGateway> {
  return startInjectGateway(t, { ...options, env: { PUBLIC_URL: publicUrl, ...env } })
}

/** A script's request with cookies of a browser, sent from elsewhere. */
export function sendFromElsewhere(
  { app }: InjectGateway,
  cookies: Record<string, string>,
  url = '/bff/session',
  options: InjectOptions = {},
) {
  const cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`)
  const headers = { host: new URL(publicUrl).host, 'x-csrf': '1', cookie: cookie.join('; ') }
  return app.inject({ ...options, url, headers: { ...headers, ...options.headers } })
}

/** @param names default: both */
export function cookiesOf(
  browser: InjectBrowser,
  names = [sessionCookie, proofCookie],
): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [name, browser.cookies.get(name)?.value ?? assert.fail(`There is no ${name}`)]),
  )
}
