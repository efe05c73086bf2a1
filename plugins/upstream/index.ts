import httpProxy from '@fastify/http-proxy'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { methods as allMethods, type UpstreamOptions } from '../../config/index.ts'
import { isWebSocketUpgrade } from '../../http/origin.ts'
import { pathBelow, pathOf, queryOf, staysBelow } from '../../http/path.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { isEventStream, sendHeadersAtOnce, sendTrailers } from './answer.ts'
import { createForwarder, discard, drain, type UpstreamAnswer } from './forwarder.ts'
import { type Report, startReport } from './report.ts'
import { type Body, isReplayable, sentBody } from './request-body.ts'
import { type OutgoingHeaders, requestHeaders } from './request-headers.ts'
import { mergedVary, type ResponseHeaderRules, responseHeaders } from './response-headers.ts'
import { fieldsFor } from './single-values.ts'
import { endWithSession } from './stays-open.ts'
import { stepUpUrl, wantsOtherLogin } from './step-up.ts'
import { announcedTrailers, carriesTrailers, wantsTrailers } from './trailers.ts'
import { headOf, takeUpgrades } from './upgrades.ts'
import { askForWebSocket, endWebSocket } from './web-sockets.ts'
import { handshakeFault, webSocketVersion } from './websocket.ts'

export interface UpstreamProxyOptions {
  upstream: UpstreamOptions
  /** Lower case. */
  csrfHeader: string
  publicUrl: URL
  /** Path of the public URL, without a slash at its end: what the browser sees before the prefix. */
  basePath: string
  /** Names of the session cookies of all frontends in this process. */
  sessionCookies: string[]
  /** Lets every header of an answer pass that may. Default: those of the allow-list and of `responseHeaders`. */
  allHeaders?: boolean
  /** Those that are passed on. Unset: all that browsers use. */
  methods?: string[]
}

/**
 * Everything below an upstream's prefix goes there, with the request's access token if the upstream takes one.
 *
 * @fastify/http-proxy routes, and keeps the path as it was sent; our own forwarder sends, since that of reply-from
 * lets a request run on whose browser has gone, and can't be told which headers and which token a replay needs.
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
  const forwarder = createForwarder(upstream)
  const tokenSource = app.tokenSource(upstream)
  app.addHook('onClose', () => forwarder.close())

  app.addHook('onRequest', async ({ originalUrl }) => {
    if (!staysBelow(pathOf(originalUrl))) throw new GatewayError('BFF_INVALID_PATH')
  })
  app.addHook('onRequest', async ({ raw }, reply) => {
    const fault = isWebSocketUpgrade(raw) ? handshakeFault(raw) : undefined
    if (fault === undefined) return
    reply.header('sec-websocket-version', webSocketVersion)
    throw new GatewayError('BFF_MALFORMED_REQUEST', { details: fault })
  })
  app.addHook('onRequest', async ({ method }, reply) => {
    if (upstream.methods.some((allowed) => allowed === method)) return
    reply.header('allow', upstream.methods.join(', '))
    throw new GatewayError('BFF_METHOD_NOT_ALLOWED')
  })
  app.addHook('onRequest', tokenSource.attach)
  // Bodies pass as they are, whatever their type.
  app.removeAllContentTypeParsers()
  app.setErrorHandler((error, _request, reply) => {
    if (perUser) reply.header('vary', varying(reply))
    throw invalidDestination(error) ?? error
  })
  takeUpgrades(app, app.prefix + prefix)
  app.register(httpProxy, {
    prefix,
    config: { csrf: upstream.csrf, ownHost: upstream.token !== 'user' },
    upstream: target.href,
    handler: forward as never,
    // Those that are not allowed too, or a shorter prefix would take them.
    httpMethods: methods ?? app.supportedMethods,
  })

  /** @param destination path of the target, as the browser sent it below the prefix */
  async function forward(request: FastifyRequest, reply: FastifyReply, destination: string) {
    const signal = goneSignal(reply)
    const path = pathBelow(target, destination || '/', request.originalUrl)
    try {
      if (isWebSocketUpgrade(request.raw)) return await openWebSocket(request, reply, path, signal)
      const answer = await exchange(request, path, signal)
      endWithSession(app.openStreams, request.userSession, answer, reply.raw, upstream.timeoutMs)
      return answerWith(answer, request, reply)
    } catch (error) {
      // Nobody is left to be answered.
      if (signal.aborted) return reply.hijack()
      throw error
    }
  }

  /** Asks the upstream, and once more where it refused a token that has a successor. */
  async function exchange(request: FastifyRequest, path: string, signal: AbortSignal) {
    const body = await sentBody(request, request.bearer !== null)
    const answer = await send(request, path, body, signal)
    // Another token of the same login would be refused as well.
    if (answer.statusCode !== 401 || wantsOtherLogin(answer.headers['www-authenticate'])) return answer
    try {
      const isReplaced = await tokenSource.replaceRefused(request)
      signal.throwIfAborted()
      if (!isReplaced || !isReplayable(body)) return answer
    } catch (error) {
      discard(answer)
      throw error
    }
    await drain(answer)
    return send(request, path, body, signal)
  }

  async function send(request: FastifyRequest, path: string, body: Body, signal: AbortSignal) {
    const { method, raw } = request
    const headers = outgoingHeaders(request, body !== null)
    // By HTTP/1.1 `Connection` would have to name it, which undici doesn't allow.
    if (upstream.http2 && wantsTrailers(raw)) headers['te'] = 'trailers'
    const report = reportOf(request, path)
    const answer = await forwarder
      .send({ method, path: path + queryOf(raw.url), headers, body, signal })
      .catch((error: GatewayError) => {
        if (!signal.aborted) report.failed(error)
        throw error
      })
    report.answered(answer.statusCode)
    return answer
  }

  function reportOf({ method, log }: FastifyRequest, path: string): Report {
    return startReport({ method, url: target.origin + path, upstream: prefix || '/' }, log, app.metrics)
  }

  async function openWebSocket(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string,
    signal: AbortSignal,
  ) {
    const { raw, userSession } = request
    const browser = raw.socket
    const closing = new AbortController()
    let end = () => closing.abort(new GatewayError('BFF_SHUTTING_DOWN'))
    app.openStreams.open(userSession, browser, () => end())
    const answer = await askForWebSocket(upstream, {
      raw,
      head: headOf(raw),
      path: path + queryOf(raw.url),
      headers: () => outgoingHeaders(request, false),
      replaceRefused: async ({ headers }) =>
        !wantsOtherLogin(headers['www-authenticate']) && tokenSource.replaceRefused(request),
      report: () => reportOf(request, path),
      signal: AbortSignal.any([signal, closing.signal]),
    })
    if ('refusal' in answer) return answerWith(answer.refusal, request, reply)
    reply.hijack()
    reply.raw.detachSocket(browser)
    answer.open(responseHeaders(answer.response.headers, responseRules))
    end = () => endWebSocket(browser)
    // It began in this very turn.
    if (closing.signal.aborted) end()
  }

  function answerWith(answer: UpstreamAnswer, request: FastifyRequest, reply: FastifyReply) {
    const headers = responseHeaders(answer.headers, responseRules)
    // Without the CSRF header any page could show it, or run it as a script, that is of the same site.
    if (!upstream.csrf) headers['cross-origin-resource-policy'] ??= 'same-origin'
    if (isEventStream(answer)) headers['x-accel-buffering'] = 'no'
    if (answer.statusCode === 401 && request.userSession) {
      const stepUp = stepUpUrl(answer.headers['www-authenticate'], `${basePath}/bff/login`)
      if (stepUp !== undefined) headers['bff-login-url'] = stepUp
    }
    if (reply.hasHeader('vary')) headers['vary'] = varying(reply, headers['vary'])
    if (carriesTrailers(request.raw, answer)) {
      const announced = announcedTrailers(answer.headers, responseRules)
      if (announced !== '') headers['trailer'] = announced
      sendTrailers(reply.raw, answer, responseRules)
    }
    reply.code(answer.statusCode).headers(fieldsFor(reply.raw, headers))
    sendHeadersAtOnce(reply.raw, answer)
    return reply.send(answer.body)
  }

  /** With the token that the request has now. */
  function outgoingHeaders(request: FastifyRequest, hasBody: boolean): OutgoingHeaders {
    const { headers, ips, ip, bearer } = request
    const outgoing = requestHeaders(headers, requestRules, ips?.toReversed() ?? [ip], hasBody)
    return bearer === null ? outgoing : { ...outgoing, authorization: `Bearer ${bearer}` }
  }

  function varying(reply: FastifyReply, ...more: (string | string[] | undefined)[]): string {
    const ours = reply.getHeader('vary')
    return mergedVary(perUser ? 'Cookie' : undefined, ours === undefined ? undefined : String(ours), ...more)
  }
}

export default fp(upstreamProxy, {
  name: 'upstream-proxy',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['request-members', 'token-renewal', 'token-sources', 'open-streams', 'observability'],
})

/** Aborts when the browser closes its connection before it has been answered. */
function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  // While its token was renewed.
  if (raw.destroyed) gone.abort()
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort()
  })
  return gone.signal
}

/** @fastify/http-proxy refuses a few more, with an error that has no code. */
function invalidDestination(error: unknown): GatewayError | undefined {
  if (!(error instanceof Error) || 'code' in error) return undefined
  const isFault = 'statusCode' in error && error.statusCode === 400
  return isFault ? new GatewayError('BFF_INVALID_PATH', { cause: error }) : undefined
}
