import httpProxy from '@fastify/http-proxy'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { methods as allMethods, type UpstreamOptions } from '../../config/index.ts'
import { isWebSocketUpgrade } from '../../http/fields.ts'
import { pathBelow, pathOf, queryOf, staysBelow } from '../../http/path.ts'
import type { ClientSpan } from '../../lib/tracing.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { keepNonce, tokenHeaders } from '../tokens/token-headers.ts'
import { createForward } from './forward.ts'
import { openUpstreamWebSocket } from './open-websocket.ts'
import { createRemedies } from './remedy.ts'
import { createReports, startReport } from './report.ts'
import { type OutgoingHeaders, requestHeaders } from './request-headers.ts'
import { createRespond, varyHeader } from './respond.ts'
import { type ResponseHeaderRules, responseHeaders } from './response-headers.ts'
import { closeAfterFlush } from './tunnel.ts'
import { routeUpgrades, upgradeHead } from './upgrades.ts'
import { createUpstreamClient } from './upstream-client.ts'
import { startUpstreamSpan } from './upstream-span.ts'
import { handshakeFault, webSocketVersion } from './websocket-handshake.ts'

export interface UpstreamProxyOptions {
  upstream: UpstreamOptions
  /** Lower case. */
  csrfHeader: string
  publicUrl: URL
  /** Path of the public URL, without a slash at its end: what the browser sees before the prefix. */
  basePath: string
  /** Names of the session cookies of all frontends in this process. */
  sessionCookies: string[]
  /** Passes every header of an answer that is not forbidden. Default: the allow-list and `responseHeaders`. */
  allHeaders?: boolean
  /** Methods that are routed here. Unset: all. */
  methods?: string[]
}

/**
 * Proxies everything below an upstream's prefix, with the request's access token if the upstream is configured for one.
 *
 * @fastify/http-proxy does the routing and keeps the path as it was sent. Our own client sends the request: that of
 * reply-from does not abort it when the browser disconnects, and can't change headers and token for a replay.
 */
const upstreamProxy: FastifyPluginAsync<UpstreamProxyOptions> = async (app, options) => {
  const { upstream, csrfHeader, publicUrl, basePath, sessionCookies, allHeaders = false, methods } = options
  const { prefix, target } = upstream
  const perUser = upstream.token.startsWith('user')
  const requestRules = {
    csrfHeader,
    host: target.host,
    publicHost: publicUrl.host,
    publicScheme: publicUrl.protocol.slice(0, -1),
    prefix: basePath + prefix,
    limitsMethods: allMethods.some((method) => !upstream.methods.includes(method)),
    allowed: upstream.requestHeaders && new Set(upstream.requestHeaders),
    cookies: { names: upstream.requestCookies, sessionCookies },
  }
  const responseRules: ResponseHeaderRules = {
    prefix: basePath + prefix,
    target,
    publicOrigin: publicUrl.origin,
    allowed: allHeaders ? 'all' : new Set(upstream.responseHeaders),
    cookies: { names: upstream.responseCookies, sessionCookies },
    perUser,
  }
  const client = createUpstreamClient(upstream)
  const tokenSource = app.tokenSource(upstream)
  app.addHook('onClose', () => client.close())
  const reports = createReports(target.origin, prefix || '/', app.metrics)
  const respond = createRespond({
    upstream,
    rules: responseRules,
    loginUrl: `${basePath}/bff/login`,
    openStreams: app.openStreams,
  })
  const forward = createForward<FastifyRequest, FastifyReply>({
    upstream,
    client,
    reports,
    replaceToken: tokenSource.replaceRefused,
    outgoingHeaders,
    respond,
  })

  const methodsHere = new Set<string>(upstream.methods)
  app.addHook('onRequest', ({ originalUrl, raw, method }, reply, done) => {
    if (!staysBelow(pathOf(originalUrl))) throw new GatewayError('BFF_INVALID_PATH')
    const fault = isWebSocketUpgrade(raw) ? handshakeFault(raw) : undefined
    if (fault !== undefined) {
      reply.header('sec-websocket-version', webSocketVersion)
      throw new GatewayError('BFF_MALFORMED_REQUEST', { details: fault })
    }
    if (!methodsHere.has(method)) {
      reply.header('allow', upstream.methods.join(', '))
      throw new GatewayError('BFF_METHOD_NOT_ALLOWED')
    }
    done()
  })
  app.addHook('onRequest', (request, _reply, done) => {
    if (tokenSource.attachNow(request)) done()
    else
      tokenSource.attach(request).then(
        () => done(),
        (error) => done(error ?? new Error('No token')),
      )
  })
  // Bodies are not parsed, whatever their type.
  app.removeAllContentTypeParsers()
  app.setErrorHandler((error, _request, reply) => {
    if (perUser) reply.header('vary', varyHeader(reply, responseRules))
    throw invalidDestination(error) ?? error
  })
  routeUpgrades(app, app.prefix + prefix)
  app.register(httpProxy, {
    prefix,
    config: { csrf: upstream.csrf, ownHost: upstream.token !== 'user' },
    upstream: target.href,
    handler: handle as never,
    // Disallowed ones too: an upstream with a shorter prefix would serve them otherwise.
    httpMethods: methods ?? app.supportedMethods,
  })

  /** @param destination path on the target: what the browser sent below the prefix */
  function handle(request: FastifyRequest, reply: FastifyReply, destination: string): unknown {
    const path = pathBelow(target, destination || '/', request.originalUrl)
    if (isWebSocketUpgrade(request.raw)) return forwardWebSocket(request, reply, path)
    return forward(request, reply, path)
  }

  async function forwardWebSocket(request: FastifyRequest, reply: FastifyReply, path: string) {
    const signal = disconnectSignal(reply)
    try {
      await openWebSocket(request, reply, path, signal)
    } catch (error) {
      // The browser has disconnected.
      if (!signal.aborted) throw error
      reply.hijack()
    }
    return reply
  }

  async function openWebSocket(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string,
    signal: AbortSignal,
  ) {
    const { raw, userSession } = request
    const browser = raw.socket
    const proven = { method: 'GET', url: target.origin + path, server: target.href }
    const remedyFor = createRemedies()
    let span: ClientSpan | undefined
    const closing = new AbortController()
    let end = () => closing.abort(new GatewayError('BFF_SHUTTING_DOWN'))
    app.openStreams.open(userSession, browser, () => end())
    const answer = await openUpstreamWebSocket(upstream, {
      raw,
      head: upgradeHead(raw),
      path: path + queryOf(raw.url),
      headers() {
        span = startUpstreamSpan(request.trace, target, 'GET', path)
        const headers = outgoingHeaders(request, false)
        return { ...headers, ...tokenHeaders(request.upstreamToken, proven), ...span?.headers }
      },
      async mend({ headers }) {
        const remedy = remedyFor(request.upstreamToken, headers)
        return remedy === 'nonce' || (remedy === 'token' && tokenSource.replaceRefused(request))
      },
      answered: ({ headers }) => keepNonce(request.upstreamToken, proven.server, headers['dpop-nonce']),
      report() {
        const report = startReport(reports, request, path)
        return {
          answered(statusCode) {
            span?.answered(statusCode)
            report.answered(statusCode)
          },
          failed(error) {
            span?.failed(error.code)
            report.failed(error)
          },
        }
      },
      signal: AbortSignal.any([signal, closing.signal]),
    }).finally(() => span?.failed('aborted'))
    if ('refusal' in answer) return respond(answer.refusal, request, reply)
    reply.hijack()
    request.trace?.end(101)
    reply.raw.detachSocket(browser)
    answer.open(responseHeaders(answer.response.headers, responseRules))
    end = () => closeAfterFlush(browser)
    // The gateway began to close in the same turn of the event loop.
    if (closing.signal.aborted) end()
  }

  /** Without those of the token. */
  function outgoingHeaders({ headers, ips, ip }: FastifyRequest, hasBody: boolean): OutgoingHeaders {
    return requestHeaders(headers, requestRules, ips?.toReversed() ?? [ip], hasBody)
  }
}

export default fp(upstreamProxy, {
  name: 'upstream-proxy',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['request-members', 'tokens', 'open-streams', 'observability', 'tracing'],
})

/** Aborts when the browser closes its connection before it has been answered. */
function disconnectSignal({ raw }: FastifyReply): AbortSignal {
  const disconnected = new AbortController()
  // It may have disconnected while its token was renewed.
  if (raw.destroyed) disconnected.abort()
  raw.once('close', () => {
    if (!raw.writableFinished) disconnected.abort()
  })
  return disconnected.signal
}

/** @fastify/http-proxy rejects some more paths, with an error that has no code. */
function invalidDestination(error: unknown): GatewayError | undefined {
  if (!(error instanceof Error) || 'code' in error) return undefined
  const isFault = 'statusCode' in error && error.statusCode === 400
  return isFault ? new GatewayError('BFF_INVALID_PATH', { cause: error }) : undefined
}
