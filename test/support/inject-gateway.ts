import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { type AppExtras, buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { type DemoIssuer, type IssuerOptions, startIssuer } from '../../demo/issuer.ts'
import { createInjectBrowser, type InjectBrowser } from './inject-browser.ts'
import { type LeakWatch, leakWatch } from './leak-watch.ts'

/** The whole gateway without a socket, and a real issuer. */
export interface InjectGateway {
  app: FastifyInstance
  issuer: DemoIssuer
  publicUrl: URL
  /** A path of the gateway as a browser sees it, with the base path if there is one. */
  path(path: string): string
  /** A browser with its own cookies, for gateway and issuer. */
  newBrowser(): InjectBrowser
  /** The log so far, at level trace. */
  log(): string
}

export interface InjectGatewayOptions {
  /** Added to the minimal configuration. */
  env?: Record<string, string>
  /** A running issuer, or how to start one. */
  issuer?: DemoIssuer | IssuerOptions
  extras?: AppExtras
  /** Instead of that of the test file. */
  watch?: LeakWatch
}

/** Ends both with the test. */
export async function startInjectGateway(
  t: TestContext,
  { env = {}, issuer: wanted = {}, extras = {}, watch = leakWatch }: InjectGatewayOptions = {},
): Promise<InjectGateway> {
  const issuer = 'provider' in wanted ? wanted : await startIssuer(wanted)
  if (issuer !== wanted) t.after(() => issuer.close())
  const lines: string[] = []
  const { options } = loadConfig({
    PUBLIC_URL: 'http://localhost:3000',
    LOG_LEVEL: 'trace',
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: newKey(),
    ...env,
  })
  const { publicUrl } = options
  issuer.allowGateway(publicUrl.href)
  watch.watchIssuer(issuer)
  for (const key of options.session.keys) watch.keepSecret(key.toString('base64'), 'SESSION_KEYS')
  const logStream = watch.watchedStream({ write: (line) => lines.push(line) })
  const app = buildApp(options, { logStream, ...extras })
  watch.watchCookies(app)
  t.after(() => app.close())
  await app.ready()

  const path = (path: string) => publicUrl.pathname.replace(/\/$/, '') + path
  return {
    app,
    issuer,
    publicUrl,
    path,
    newBrowser: () => createInjectBrowser({ app, publicUrl, path }),
    log: () => lines.join(''),
  }
}

/** A value for `SESSION_KEYS`. */
export function newKey(): string {
  return randomBytes(32).toString('base64')
}
