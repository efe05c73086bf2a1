import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { UpstreamOptions } from '../../config/index.ts'
import { queryOf } from '../../http/path.ts'
import type { ClientSpan, RequestTrace } from '../../lib/tracing.ts'
import { keepNonce, type SentToken, tokenHeaders } from '../tokens/token-headers.ts'
import { createRemedies } from './remedy.ts'
import type { Log, Reports } from './report.ts'
import { type Body, hasBody, isReplayable, sentBody } from './request-body.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { wantsTrailers } from './trailers.ts'
import { discard, drain, type UpstreamAnswer } from './upstream-answer.ts'
import type { Sending, UpstreamClient } from './upstream-client.ts'
import { startUpstreamSpan } from './upstream-span.ts'

/** The part of Fastify's request that is needed here. */
export interface ForwardedRequest {
  method: string
  headers: IncomingHttpHeaders
  body: unknown
  raw: IncomingMessage
  log: Log
  upstreamToken: SentToken | null
  trace: RequestTrace | null
}

/** The part of Fastify's reply that is needed here. */
export interface ForwardedReply {
  raw: ServerResponse
  /** Nothing will be sent. */
  hijack(): unknown
  send(error: unknown): unknown
}

export interface ForwardOptions<Request, Reply> {
  upstream: UpstreamOptions
  client: UpstreamClient
  reports: Reports
  /** After the upstream refused the token: replaces it. Resolves with whether there is another one. */
  replaceToken(request: Request): Promise<boolean>
  /** Headers for the upstream, without those of the token. */
  outgoingHeaders(request: Request, hasBody: boolean): OutgoingHeaders
  /** Answers the browser. */
  respond(answer: UpstreamAnswer, request: Request, reply: Reply): void
}

/** Sends a request to the upstream, and its answer to the browser. @param path on the target, without the query */
export type Forward<Request, Reply> = (request: Request, reply: Reply, path: string) => void

/**
 * A request without a body goes out at once, and nothing is awaited until its answer goes to the browser. Bodies that
 * are buffered first and refused tokens take the asynchronous branches.
 */
export function createForward<Request extends ForwardedRequest, Reply extends ForwardedReply>(
  options: ForwardOptions<Request, Reply>,
): Forward<Request, Reply> {
  const { upstream, client, reports, replaceToken, outgoingHeaders, respond } = options
  const { origin, href: server } = upstream.target

  return function forward(request, reply, path) {
    const { raw } = reply
    let body: Body = null
    let span: ClientSpan | undefined
    let sending: Sending | undefined
    let remedyFor: ReturnType<typeof createRemedies> | undefined
    let isGone = false
    const disconnected = () => {
      if (raw.writableFinished) return
      isGone = true
      reply.hijack()
      sending?.abort()
      span?.failed('aborted')
    }
    // It may have disconnected while its token was renewed.
    if (raw.destroyed) return disconnected()
    raw.once('close', disconnected)

    if (!hasBody(request)) send()
    else
      sentBody(request, request.upstreamToken !== null)
        .then((read) => {
          body = read
          if (!isGone) send()
        })
        .catch(fail)

    function send(): void {
      const { method, upstreamToken } = request
      const headers = Object.assign(
        outgoingHeaders(request, body !== null),
        tokenHeaders(upstreamToken, { method, url: origin + path, server }),
      )
      // Over HTTP/1.1 `Connection` would have to name `TE`, which undici does not allow.
      if (upstream.http2 && wantsTrailers(request.raw)) headers['te'] = 'trailers'
      span = startUpstreamSpan(request.trace, upstream.target, method, path)
      if (span) Object.assign(headers, span.headers)
      const startedAt = performance.now()
      sending = client.send(
        { method, path: path + queryOf(request.raw.url), headers, body },
        {
          answered(answer) {
            const { statusCode } = answer
            reports.answered(request.log, method, path, startedAt, statusCode)
            span?.answered(statusCode)
            keepNonce(upstreamToken, server, answer.headers['dpop-nonce'])
            if (statusCode === 401 && upstreamToken) void replay(answer)
            else pass(answer)
          },
          failed(error) {
            reports.failed(startedAt, error)
            span?.failed(error.code)
            fail(error)
          },
        },
      )
    }

    /** Repeats the request if the upstream refused the token and there is a new one, or it wants a nonce in the proof. */
    async function replay(answer: UpstreamAnswer): Promise<void> {
      try {
        remedyFor ??= createRemedies()
        const remedy = remedyFor(request.upstreamToken, answer.headers)
        const isMended = remedy === 'nonce' || (remedy === 'token' && (await replaceToken(request)))
        if (isGone) return discard(answer)
        if (!isMended || !isReplayable(body)) return pass(answer)
        await drain(answer)
        if (!isGone) send()
      } catch (error) {
        discard(answer)
        fail(error)
      }
    }

    function pass(answer: UpstreamAnswer): void {
      if (isGone) {
        discard(answer)
        return
      }
      // From here on Fastify destroys the answer's body when the browser disconnects.
      raw.off('close', disconnected)
      try {
        respond(answer, request, reply)
      } catch (error) {
        fail(error)
      }
    }

    function fail(error: unknown): void {
      if (isGone) return
      raw.off('close', disconnected)
      reply.send(error)
    }
  }
}
