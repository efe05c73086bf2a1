import type { TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import bff, { type BffOptions } from '../../index.ts'
import { createInjectBrowser, type InjectBrowser } from '../support/inject-browser.ts'
import { newKey } from '../support/inject-gateway.ts'

/** An application with the plugin, and a real issuer. */
export interface Application {
  app: FastifyInstance
  issuer: DemoIssuer
  newBrowser(): InjectBrowser
  /** The application's log so far, at level trace. */
  log(): string
}

export interface ApplicationOptions {
  /** Added to the minimal options. */
  bff?: Partial<BffOptions>
  issuer?: DemoIssuer
  server?: FastifyServerOptions
  /** Runs before the plugin is registered. */
  before?(app: FastifyInstance): unknown
  /** The application's routes. */
  routes?(app: FastifyInstance): unknown
}

/** Ends both with the test. */
export async function startApplication(
  t: TestContext,
  options: ApplicationOptions = {},
): Promise<Application> {
  const issuer = options.issuer ?? (await startIssuer())
  if (issuer !== options.issuer) t.after(() => issuer.close())
  const lines: string[] = []
  const stream = { write: (line: string) => lines.push(line) }
  const app = Fastify({ logger: { level: 'trace', stream }, ...options.server }) as FastifyInstance
  t.after(() => app.close())

  const given = minimalOptions(issuer, options.bff)
  await options.before?.(app)
  await app.register(bff, given)
  await options.routes?.(app)
  await app.ready()
  const newBrowser = () => browserOf(app, given.publicUrl)
  return { app, issuer, newBrowser, log: () => lines.join('') }
}

/** The minimal options with others added. Registers their redirect URIs at the issuer. */
export function minimalOptions(issuer: DemoIssuer, others: Partial<BffOptions> = {}): BffOptions {
  const { issuer: url, clientId, clientSecret } = issuer
  const options = {
    publicUrl: 'http://localhost:3000',
    oidc: { issuer: url, clientId, clientSecret },
    session: { keys: newKey() },
    ...others,
  }
  issuer.allowGateway(String(options.publicUrl))
  return options
}

export function browserOf(app: FastifyInstance, url: string | URL): InjectBrowser {
  const publicUrl = new URL(url)
  const path = (path: string) => publicUrl.pathname.replace(/\/$/, '') + path
  return createInjectBrowser({ app, publicUrl, path })
}
