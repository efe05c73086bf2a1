import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Fields for the log line of a call to the administrator's API. */
    adminCall: Record<string, unknown>
  }
  interface FastifyContextConfig {
    /** `event` of the log line of a call to the administrator's API. */
    adminEvent?: string
  }
}

/** Logs every call with its outcome: refused ones too. */
export function logCalls(server: FastifyInstance, log: FastifyBaseLogger): void {
  server.decorateRequest('adminCall')
  server.addHook('onRequest', async (request) => {
    request.adminCall = {}
  })
  server.addHook('onResponse', (request, { statusCode }, done) => {
    const { id, method, ip, adminCall, routeOptions } = request
    const isRefused = statusCode === 401
    const event = isRefused ? 'admin.refused' : (routeOptions.config?.adminEvent ?? 'admin.unknown')
    const fields = { event, reqId: id, method, statusCode, remoteAddress: ip, ...adminCall }
    if (isRefused) log.warn(fields)
    else log.info(fields)
    done()
  })
}

/** Refuses requests without the token, whatever their path. */
export function checkToken(server: FastifyInstance, token: string): void {
  const expected = digest(token)
  server.addHook('onRequest', async ({ headers: { authorization = '' } }, reply) => {
    const [, given = ''] = /^Bearer +([^ ]+) *$/i.exec(authorization) ?? []
    // Digests have the same length, which the comparison needs, and so it takes the same time for every token.
    if (timingSafeEqual(digest(given), expected)) return
    reply.header('www-authenticate', 'Bearer')
    throw new GatewayError('BFF_ADMIN_TOKEN_REQUIRED')
  })
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
