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
import { namesOneHost } from '../../http/host.ts'
import { errorBody, GatewayError, retryAfterSeconds } from './catalogue.ts'
import { errorPage, prefersPage } from './error-page.ts'
import { asGatewayError, logError } from './gateway-error.ts'
import {
  afterOwedAnswers,
  canAnswer,
  endWith,
  malformedRequest,
  rawAnswer,
  type ServerSocket,
} from './malformed-request.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A browser navigates here, so a person may read the error. */
    navigation?: boolean
  }
}

export interface ErrorsOptions {
  /** Where to log in, as the browser sees it. */
  loginUrl: string
}

export default fp<ErrorsOptions>(
  async (app, { loginUrl }) => {
    app.setErrorHandler(answerError(loginUrl))
    // Node answers an expectation that it doesn't know by itself. No upstream gets to see it, so it is ignored.
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
    // Node makes an event of its own of CONNECT, and closes the connection without a word where nothing listens.
    app.server.on('connect', (request: IncomingMessage, socket: Socket) => {
      socket.on('error', () => {})
      const reqId = randomUUID()
      const error = new GatewayError('BFF_METHOD_NOT_ALLOWED')
      if (request.httpVersionMajor !== 1)
        return refuseMethod(socket as unknown as ServerResponse, error, reqId)
      // For answers that are still to come: Node's own listener has gone.
      socket.on('drain', () => (socket as ServerSocket)._httpMessage?.emit('drain')).resume()
      refuse(socket, error, reqId, app.log.child({ reqId }))
    })
    app.addHook('onRequest', async ({ raw }) => {
      if (namesOneHost(raw.httpVersion, raw.rawHeaders)) return
      throw new GatewayError('BFF_MALFORMED_REQUEST', { details: 'The request must name one host' })
    })
    app.setNotFoundHandler((request, reply) =>
      answer(new GatewayError('BFF_NOT_FOUND'), request, reply, loginUrl),
    )
  },
  { name: 'errors', fastify: '5.x' },
)

/** For `setErrorHandler`. @param loginUrl where to log in, as the browser sees it */
export function answerError(loginUrl: string) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    answer(thrown, request, reply, loginUrl)
}

/** Fastify's `frameworkErrors`: what its router could not make sense of. Its own message repeats the URL. */
export function answerBadUrl(loginUrl: string) {
  return (_error: Error, request: FastifyRequest, reply: FastifyReply): void => {
    const error = new GatewayError('BFF_INVALID_PATH', { details: 'The URL is not valid' })
    answer(error, request, reply, loginUrl)
  }
}

/** Fastify's `clientErrorHandler`: what Node's parser could not make sense of. There is no request to answer. */
export function answerMalformed(this: FastifyInstance, fault: ConnectionError, socket: Socket): void {
  if (isHandshake(socket)) {
    this.log.debug({ err: fault }, 'A TLS handshake failed')
    return void socket.destroy()
  }
  // Nobody is there, or nothing was asked: who opened the connection in advance would take it for an answer.
  if (fault.code === 'ECONNRESET' || socket.bytesRead === 0) return void socket.destroy()
  const reqId = randomUUID()
  refuse(socket, malformedRequest(fault), reqId, this.log.child({ reqId }))
}

/**
 * Ends a connection on which a request can't be read to its end, with an answer if that can still be given, and once
 * the requests before it are answered.
 */
export function refuse(socket: Socket, error: GatewayError, requestId: string, log: FastifyBaseLogger): void {
  afterOwedAnswers(socket, () => {
    // The rest of what has been answered.
    if (socket.writableEnded) return
    if (!canAnswer(socket)) return void socket.destroy()
    log.debug({ err: error }, error.message)
    endWith(socket, rawAnswer(error, requestId))
  })
}

/** Over HTTP/2, where a response stands in place of the connection. */
function refuseMethod(response: ServerResponse, error: GatewayError, requestId: string): void {
  response.writeHead(error.statusCode, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
  })
  response.end(JSON.stringify(errorBody(error, requestId, '')))
}

/** Whoever speaks no TLS, or none that suits, would not understand an answer either. */
function isHandshake(socket: Socket & { secureConnecting?: boolean }): boolean {
  return socket.secureConnecting === true
}

const codes = new WeakMap<FastifyRequest, string>()

/** The code of the error that a request was answered with, if it was one. */
export function errorCodeOf(request: FastifyRequest): string | undefined {
  return codes.get(request)
}

function answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply, loginUrl: string) {
  const error = asGatewayError(thrown)
  codes.set(request, error.code)
  reply.code(error.statusCode).header('cache-control', 'no-store')
  if (!(error instanceof GatewayError)) {
    const { statusCode, code, message } = error
    return reply.send({ statusCode, code, error: 'Bad request', details: message, requestId: request.id })
  }
  logError(request.log, error)

  const seconds = retryAfterSeconds(error)
  if (seconds !== undefined) reply.header('retry-after', seconds)
  if (isNavigation(request)) {
    return reply.type('text/html; charset=utf-8').send(errorPage(error, request.id, loginUrl))
  }
  return reply.send(errorBody(error, request.id, loginUrl))
}

/** What scripts and elements ask for is no navigation, whatever they accept. */
function isNavigation({ routeOptions, headers }: FastifyRequest): boolean {
  const mode = headers['sec-fetch-mode'] ?? 'navigate'
  return routeOptions.config?.navigation === true && mode === 'navigate' && prefersPage(headers.accept)
}
