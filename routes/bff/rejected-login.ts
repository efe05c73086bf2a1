import type { FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { LoginError } from '../../plugins/issuer/login-error.ts'

/** What the client is told of a login that must not succeed. The log is told why. */
export function rejectedLogin({ log }: FastifyRequest, error: LoginError): GatewayError {
  log.warn({ event: 'login.rejected', reason: error.reason, err: error })
  return new GatewayError('BFF_LOGIN_REJECTED', { cause: error })
}
