import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type {
  ConnectionError,
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
} from 'fastify'
import fp from 'fastify-plugin'
import { namesOneHost } from '../../http/fields.ts'
import { errorBody, GatewayError, retryAfterSeconds } from './catalogue.ts'
import { type ErrorHeaderOptions, errorHeaders } from './error-headers.ts'
import { type ErrorPageOptions, errorPage, prefersPage } from './error-page.ts'
import { asGatewayError, logError } from './gateway-error.ts'
import {
  afterOwedAnswers,
  answerDirectly,
  canAnswer,
  endWith,
  isAnswered,
  malformedRequest,
  rawAnswer,
  type ServerSocket,
} from './malformed-request.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Browsers navigate to this route, so errors may be shown as a page. */
    navigation?: boolean
  }
}

export type ErrorsOptions = ErrorHeaderOptions & ErrorPageOptions

export default fp<ErrorsOptions>(
  async (app, options) => {
    app.setErrorHandler(answerError(options))
    // Node would answer an unknown `Expect` itself with 417. The header is not forwarded, so it is ignored.
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
    // Node emits a separate event for CONNECT, and without a listener closes the connection without an answer.
    app.server.on('connect', (request: IncomingMessage, socket: Socket) => {
      socket.on('error', () => {})
      const reqId = randomUUID()
      const error = new GatewayError('BFF_METHOD_NOT_ALLOWED')
      // Over HTTP/2 Node passes a response in place of the socket, which its types do not say.
      if (request.httpVersionMajor !== 1)
        return answerDirectly(socket as unknown as ServerResponse, error, reqId)
      // Node has removed its own listener, but earlier pipelined responses still need `drain`.
      socket.on('drain', () => (socket as ServerSocket)._httpMessage?.emit('drain')).resume()
      refuse(socket, error, reqId, app.log.child({ reqId }))
    })
    app.addHook('onRequest', ({ raw }, _reply, done) => {
      if (namesOneHost(raw.httpVersion, raw.rawHeaders)) return done()
      throw new GatewayError('BFF_MALFORMED_REQUEST', { details: 'The request must name one host' })
    })
    app.setNotFoundHandler((request, reply) =>
      answer(new GatewayError('BFF_NOT_FOUND'), request, reply, options),
    )
  },
  { name: 'errors', fastify: '5.x' },
)

/** For `setErrorHandler`. */
export function answerError(options: ErrorsOptions) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    answer(thrown, request, reply, options)
}

/** For Fastify's `frameworkErrors`: URLs that its router could not parse. Fastify's own message would repeat the URL. */
export function answerBadUrl(options: ErrorsOptions) {
  return (_error: Error, request: FastifyRequest, reply: FastifyReply): void => {
    const error = new GatewayError('BFF_INVALID_PATH', { details: 'The URL is not valid' })
    answer(error, request, reply, options)
  }
}

/** For Fastify's `clientErrorHandler`: data that Node's parser rejected. There is no request object. */
export function answerMalformed(this: FastifyInstance, fault: ConnectionError, socket: Socket): void {
  if (isHandshake(socket)) {
    this.log.debug({ err: fault }, 'A TLS handshake failed')
    return void socket.destroy()
  }
  // The client is gone, or has sent nothing yet: it would take an error for the answer to its first request.
  if (fault.code === 'ECONNRESET' || socket.bytesRead === 0) return void socket.destroy()
  const reqId = randomUUID()
  refuse(socket, malformedRequest(fault), reqId, this.log.child({ reqId }))
}

/**
 * Ends a connection whose current request can't be read to its end: after the answers to earlier requests, and with an
 * error response if one can still be sent.
 */
export function refuse(socket: Socket, error: GatewayError, requestId: string, log: FastifyBaseLogger): void {
  afterOwedAnswers(socket, () => {
    // Already answered and ended: this is the rest of that request.
    if (socket.writableEnded) return
    if (isAnswered(socket)) return endWith(socket)
    if (!canAnswer(socket)) return void socket.destroy()
    log.debug({ err: error }, error.message)
    endWith(socket, rawAnswer(error, requestId))
  })
}

/** True before TLS is established: such a client could not read an answer. */
function isHandshake(socket: Socket & { secureConnecting?: boolean }): boolean {
  return socket.secureConnecting === true
}

const codes = new WeakMap<FastifyRequest, string>()

const wantedUrls = new WeakMap<FastifyRequest, string>()

/** Lets an error page offer the page that a login was to end at. */
export function offerOnErrorPage(request: FastifyRequest, wantedUrl: string): void {
  wantedUrls.set(request, wantedUrl)
}

export function offeredUrl(request: FastifyRequest): string | undefined {
  return wantedUrls.get(request)
}

/** The code of the error that answered a request, if any. */
export function errorCodeOf(request: FastifyRequest): string | undefined {
  return codes.get(request)
}

function answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply, options: ErrorsOptions) {
  const { loginUrl } = options
  const error = asGatewayError(thrown)
  codes.set(request, error.code)
  reply.code(error.statusCode).header('cache-control', 'no-store')
  reply.headers(errorHeaders(request.headers.origin, (name) => reply.getHeader(name), options))
  if (!(error instanceof GatewayError)) {
    const { statusCode, code, message } = error
    return reply.send({ statusCode, code, error: 'Bad request', details: message, requestId: request.id })
  }
  logError(request.log, error, request)

  const seconds = retryAfterSeconds(error)
  if (seconds !== undefined) reply.header('retry-after', seconds)
  if (isNavigation(request)) {
    const context = { requestId: request.id, wantedUrl: offeredUrl(request) }
    const { html, headers } = errorPage(error, context, options)
    return reply.headers(headers).send(html)
  }
  return reply.send(errorBody(error, request.id, loginUrl))
}

/** Requests of scripts and of elements such as images are no navigation, whatever they accept. */
function isNavigation({ routeOptions, headers }: FastifyRequest): boolean {
  const mode = headers['sec-fetch-mode'] ?? 'navigate'
  return routeOptions.config?.navigation === true && mode === 'navigate' && prefersPage(headers.accept)
}
