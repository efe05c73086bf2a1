import httpProxy from '@fastify/http-proxy'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { UpstreamOptions } from '../config/options.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { createForwarder, type UpstreamAnswer } from './forwarder.ts'
import { isReplayable, replayableBody } from './replayable-body.ts'
import { requestHeaders } from './request-headers.ts'
import { responseHeaders } from './response-headers.ts'
import { staysBelow } from './upstream-path.ts'

export interface UpstreamProxyOptions {
  upstream: UpstreamOptions
  /** Lower case. */
  csrfHeader: string
}

/**
 * Everything below an upstream's prefix goes there, with the request's access token if the upstream takes one.
 *
 * @fastify/http-proxy routes, and keeps the path as it was sent; our own forwarder sends, since that of reply-from
 * lets a request run on whose browser has gone, and can't be told which headers and which token a replay needs.
 */
const upstreamProxy: FastifyPluginAsync<UpstreamProxyOptions> = async (app, { upstream, csrfHeader }) => {
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
  app.register(httpProxy, { prefix, upstream: target.href, handler: forward as never })

  /** @param path of the target, as the browser sent it below the prefix */
  async function forward(request: FastifyRequest, reply: FastifyReply, path: string) {
    const signal = goneSignal(reply)
    const stream = request.body as Parameters<typeof replayableBody>[0] | undefined
    const body = upstream.token === 'user' ? await replayable(request) : (stream ?? null)

    const headers = requestHeaders(
      request.headers,
      { csrfHeader, host: target.host },
      {
        addresses: request.ips?.toReversed() ?? [request.ip],
        host: request.host,
        protocol: request.protocol,
      },
      body !== null,
    )
    const send = async () => {
      if (request.accessToken !== null) headers['authorization'] = `Bearer ${request.accessToken}`
      const startedAt = performance.now()
      const answer = await forwarder.send({
        method: request.method,
        path: path + queryOf(request.raw.url),
        headers,
        body,
        signal,
      })
      logAnswer(request, path, answer, performance.now() - startedAt)
      return answer
    }

    let answer: UpstreamAnswer
    try {
      answer = await send()
      if (
        answer.statusCode === 401 &&
        (await app.replaceRefusedToken(request, prefix)) &&
        isReplayable(body)
      ) {
        await answer.body.dump()
        answer = await send()
      }
    } catch (error) {
      // Nobody is left to be answered.
      if (signal.aborted) return reply.hijack()
      throw error
    }
    reply
      .code(answer.statusCode)
      .headers(responseHeaders(answer.headers, { prefix, target, cookies: upstream.responseCookies }))
    sendHeadersAtOnce(reply, answer)
    return reply.send(answer.body)
  }

  async function replayable({ body, headers }: FastifyRequest) {
    return replayableBody((body as Parameters<typeof replayableBody>[0]) ?? null, headers['content-length'])
  }

  function logAnswer(
    request: FastifyRequest,
    path: string,
    { statusCode }: UpstreamAnswer,
    ms: number,
  ): void {
    const url = target.origin + path
    const durationMs = Math.round(ms)
    request.log.info({ event: 'upstream.response', method: request.method, url, statusCode, durationMs })
  }
}

export default upstreamProxy

/** Aborts when the browser closes its connection before it has been answered. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort()
  })
  return gone.signal
}

/** A stream may have nothing to say for a long time, and the browser wants to know that it has begun. */
function sendHeadersAtOnce(reply: FastifyReply, { headers }: UpstreamAnswer): void {
  if (headers['content-length'] !== undefined) return
  reply.raw.once('pipe', () => reply.raw.flushHeaders())
}

function pathOf(url = ''): string {
  return url.split('?', 1)[0] ?? ''
}

/** With its question mark. */
function queryOf(url = ''): string {
  const start = url.indexOf('?')
  return start < 0 ? '' : url.slice(start)
}
