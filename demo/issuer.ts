import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientMetadata, type Configuration, Provider } from 'oidc-provider'
import { providerConfiguration } from './issuer/configuration.ts'
import { IssuerEvents, recordTo } from './issuer/events.ts'
import { answerLoginRoutes } from './issuer/login-routes.ts'
import { listen, stop } from './listen.ts'

export interface IssuerOptions {
  /** 0, the default, takes a free port. */
  port?: number
  /** Address to listen on. Default: loopback. */
  host?: string
  /** Origins (with base path, if any) of the gateways that sign in here. `allowGateway` adds more. */
  publicUrls?: string[]
  /** Audience of the JWT access tokens, an absolute URI. Undefined: opaque access tokens, for UserInfo only. */
  apiAudience?: string
  /** Scopes that the API knows. Default `time:read`. */
  apiScope?: string
  /** Seconds. Default 30. */
  accessTokenLifetime?: number
  /** Authorization requests must be pushed (RFC 9126). Default false. */
  requirePushedAuthorizationRequests?: boolean
  /** Default `demo`. */
  clientId?: string
  /** Default: random. */
  clientSecret?: string
  /** Further members of the gateways' client, such as another way to authenticate. */
  clientMetadata?: Partial<ClientMetadata>
  /** Changes the provider's configuration, for features that the demo doesn't use. */
  configure?: (configuration: Configuration) => Configuration
  /** Further clients. */
  clients?: ClientMetadata[]
}

export interface DemoIssuer {
  /** `http://localhost:PORT` */
  issuer: string
  port: number
  clientId: string
  clientSecret: string
  /** For all else: its events, and middleware (`provider.use`) that makes it misbehave. */
  provider: Provider
  events: IssuerEvents
  /** Registers a gateway whose port was not known before. */
  allowGateway(publicUrl: string): void
  close(): Promise<void>
  /** Listens again after `close`, on the same port and with all its data. */
  reopen(): Promise<void>
}

/**
 * An OpenID provider for the demo and the tests: users alice and bob, rotating refresh tokens, everything in
 * memory, keys of its own at each start. Several can run in one process.
 *
 * @throws PortInUseError
 */
export async function startIssuer(options: IssuerOptions = {}): Promise<DemoIssuer> {
  const { port: wantedPort = 0, publicUrls = [], clientId = 'demo' } = options
  const { clientSecret = randomBytes(32).toString('base64url') } = options
  const gateways = [...publicUrls]
  const clients = new Map((options.clients ?? []).map((client) => [client.client_id, client]))
  const registerGateways = () => {
    const client = { ...gatewayClient(gateways, clientId, clientSecret), ...options.clientMetadata }
    clients.set(clientId, { ...client, client_id: clientId })
  }
  registerGateways()

  const server = createServer()
  const port = await listen(server, wantedPort, options.host)
  const issuer = `http://localhost:${port}`

  const securityHeaders = () => pageHeaders(clients.values())
  const { configure = (configuration) => configuration } = options
  const provider = new Provider(
    issuer,
    configure(
      await providerConfiguration({
        clients,
        apiAudience: options.apiAudience,
        apiScope: options.apiScope ?? 'time:read',
        accessTokenLifetime: options.accessTokenLifetime ?? 30,
        requirePushedAuthorizationRequests: options.requirePushedAuthorizationRequests ?? false,
        show(ctx, { html }) {
          ctx.set(securityHeaders())
          ctx.type = 'html'
          ctx.body = html
        },
      }),
    ),
  )
  const events = new IssuerEvents()
  provider.use(recordTo(events))

  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    try {
      if (await answerLoginRoutes(provider, securityHeaders, request, response)) return
      // Composed again each time, so that middleware can be added (`provider.use`) while the issuer runs.
      await provider.callback()(request, response)
    } catch {
      response.destroy()
    }
  })

  return {
    issuer,
    port,
    clientId,
    clientSecret,
    provider,
    events,
    allowGateway(publicUrl) {
      gateways.push(publicUrl)
      registerGateways()
    },
    close: () => stop(server),
    async reopen() {
      await listen(server, port, options.host)
    },
  }
}

function gatewayClient(publicUrls: string[], clientId: string, clientSecret: string): ClientMetadata {
  const bases = publicUrls.map((url) => url.replace(/\/$/, ''))
  return {
    client_id: clientId,
    client_secret: clientSecret,
    client_name: 'fastify-bff demo',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    redirect_uris: bases.map((base) => `${base}/bff/callback`),
    post_logout_redirect_uris: bases.map((base) => `${base}/bff/logout-callback`),
    // A client has one such URI, so only the first of several gateways gets logout tokens.
    ...(bases[0] !== undefined && {
      backchannel_logout_uri: `${bases[0]}/bff/backchannel-logout`,
      backchannel_logout_session_required: true,
    }),
  }
}

/** Browsers apply `form-action` to redirects after a form too, so the gateways must be listed. */
function pageHeaders(clients: Iterable<ClientMetadata>): Record<string, string> {
  const redirectUris = [...clients].flatMap(({ redirect_uris: uris = [] }) => uris)
  const origins = new Set(redirectUris.map((uri) => new URL(uri).origin))
  return {
    'cache-control': 'no-store',
    'content-security-policy': [
      "default-src 'none'",
      "style-src 'self'",
      "script-src 'self'",
      'img-src data:',
      "base-uri 'none'",
      "frame-ancestors 'none'",
      `form-action 'self' ${[...origins].join(' ')}`,
    ].join('; '),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
}
