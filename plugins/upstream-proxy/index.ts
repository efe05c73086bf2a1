import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import httpProxy from '@fastify/http-proxy'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { UpstreamOptions } from '../config/options.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { isWebSocketUpgrade } from '../request-guard/origin.ts'
import { createForwarder, discard, drain, type UpstreamAnswer } from './forwarder.ts'
import { type Body, isReplayable, replayableBody } from './replayable-body.ts'
import { type OutgoingHeaders, requestHeaders } from './request-headers.ts'
import { mergedVary, responseHeaders } from './response-headers.ts'
import { upload } from './upload.ts'
import { staysBelow } from './upstream-path.ts'
import { BrowserSocket, webSocketClient, webSocketTarget, withoutHandshake } from './websocket.ts'

export interface UpstreamProxyOptions {
  upstream: UpstreamOptions
  /** Lower case. */
  csrfHeader: string
  /** Path of the gateway's public URL, without a slash at its end: what the browser sees before the prefix. */
  basePath: string
  /** Name of the gateway's own cookie. */
  sessionCookie: string
}

/**
 * Everything below an upstream's prefix goes there, with the request's access token if the upstream takes one.
 *
 * @fastify/http-proxy routes, and keeps the path as it was sent; our own forwarder sends, since that of reply-from
 * lets a request run on whose browser has gone, and can't be told which headers and which token a replay needs.
 */
const upstreamProxy: FastifyPluginAsync<UpstreamProxyOptions> = async (app, options) => {
  const { upstream, csrfHeader, basePath, sessionCookie } = options
  const { prefix, target } = upstream
  const forwarder = createForwarder(upstream)
  app.addHook('onClose', () => forwarder.close())

  app.addHook('onRequest', async ({ raw }) => {
    if (!staysBelow(pathOf(raw.url))) throw new GatewayError('BFF_INVALID_PATH')
  })
  if (upstream.token === 'user') {
    app.addHook('onRequest', app.requireSession)
    app.addHook('onRequest', app.attachAccessToken)
  }
  // Bodies pass as they are, whatever their type.
  app.removeAllContentTypeParsers()
  app.setErrorHandler((error) => {
    throw invalidDestination(error) ?? error
  })
  app.addHook('onRequest', async (request) => {
    if (isWebSocketUpgrade(request.headers.upgrade)) closeWithSession(request, request.raw.socket)
  })
  app.register(httpProxy, {
    prefix,
    upstream: target.href,
    handler: forward as never,
    websocket: true,
    wsUpstream: webSocketTarget(target),
    wsServerOptions: { WebSocket: BrowserSocket as never },
    wsClientOptions: webSocketClient(upstream, (request: FastifyRequest) =>
      withoutHandshake(outgoingHeaders(request, false)),
    ),
  })

  /** @param destination path of the target, as the browser sent it below the prefix */
  async function forward(request: FastifyRequest, reply: FastifyReply, destination: string) {
    const path = destination || '/'
    const signal = goneSignal(reply)
    let answer: UpstreamAnswer | undefined
    try {
      const body = await bodyOf(request)
      const send = async () => {
        const startedAt = performance.now()
        const { method } = request
        const headers = outgoingHeaders(request, body !== null)
        const query = queryOf(request.raw.url)
        const sent = await forwarder
          .send({ method, path: path + query, headers, body, signal })
          .catch((error: GatewayError) => {
            if (!signal.aborted)
              app.metrics.upstreamAnswered(prefix, error.statusCode, performance.now() - startedAt)
            throw error
          })
        logAnswer(request, path, sent, performance.now() - startedAt)
        return sent
      }

      answer = await send()
      if (
        answer.statusCode === 401 &&
        (await app.replaceRefusedToken(request, prefix)) &&
        isReplayable(body)
      ) {
        await drain(answer)
        answer = await send()
      }
      signal.throwIfAborted()
    } catch (error) {
      if (answer) discard(answer)
      // Nobody is left to be answered.
      if (signal.aborted) return reply.hijack()
      throw error
    }
    const shown = responseHeaders(answer.headers, {
      prefix: basePath + prefix,
      target,
      cookies: upstream.responseCookies,
      sessionCookie,
    })
    const ours = reply.getHeader('vary')
    reply.code(answer.statusCode).headers(shown)
    if (ours !== undefined && shown['vary'] !== undefined) {
      reply.header('vary', mergedVary(String(ours), shown['vary']))
    }
    sendHeadersAtOnce(reply, answer)
    if (isEventStream(answer)) closeWithSession(request, reply.raw)
    return reply.send(answer.body)
  }

  /** With the token that the request has now. */
  function outgoingHeaders(request: FastifyRequest, hasBody: boolean): OutgoingHeaders {
    const { headers, ips, ip, host, protocol, accessToken } = request
    const client = { addresses: ips?.toReversed() ?? [ip], host, protocol }
    const outgoing = requestHeaders(headers, { csrfHeader, host: target.host }, client, hasBody)
    return accessToken === null ? outgoing : { ...outgoing, authorization: `Bearer ${accessToken}` }
  }

  /** What stays open for long must not outlive the session that it was opened for. */
  function closeWithSession({ session }: FastifyRequest, stream: Socket | ServerResponse): void {
    if (!session) return
    const closed = new AbortController()
    stream.once('close', () => closed.abort())
    app.sessions.ended(session, closed.signal).then(() => stream.destroy())
  }

  async function bodyOf({ body, headers }: FastifyRequest): Promise<Body> {
    if (!(body instanceof Readable)) return null
    return upstream.token === 'user' ? replayableBody(body, headers['content-length']) : upload(body)
  }

  function logAnswer(
    request: FastifyRequest,
    path: string,
    { statusCode }: UpstreamAnswer,
    ms: number,
  ): void {
    const url = target.origin + path
    const durationMs = Math.round(ms)
    app.metrics.upstreamAnswered(prefix, statusCode, ms)
    request.log.info({ event: 'upstream.response', method: request.method, url, statusCode, durationMs })
  }
}

export default upstreamProxy

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

/** A stream may have nothing to say for a long time, and the browser wants to know that it has begun. */
function sendHeadersAtOnce({ raw }: FastifyReply, { headers, body }: UpstreamAnswer): void {
  // A turn later, by which time most answers have their first bytes and go out in one piece.
  if (headers['content-length'] === undefined) {
    raw.once('pipe', () => setImmediate(() => raw.headersSent || raw.flushHeaders()))
  }
  // One that breaks off before its first byte has begun too: its headers can't be taken back for an error's.
  body.once('error', () => raw.flushHeaders())
}

/** @fastify/http-proxy refuses a few more, with an error that has no code. */
function invalidDestination(error: unknown): GatewayError | undefined {
  if (!(error instanceof Error) || 'code' in error) return undefined
  const isFault = 'statusCode' in error && error.statusCode === 400
  return isFault ? new GatewayError('BFF_INVALID_PATH', { cause: error }) : undefined
}

function isEventStream({ headers }: UpstreamAnswer): boolean {
  return String(headers['content-type']).startsWith('text/event-stream')
}

function pathOf(url = ''): string {
  return url.split('?', 1)[0] ?? ''
}

/** With its question mark. */
function queryOf(url = ''): string {
  const start = url.indexOf('?')
  return start < 0 ? '' : url.slice(start)
}
