import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'

/** A request to the callback: by GET the parameters are the query, by POST the body. */
export type CallbackRequest = FastifyRequest<{
  Querystring: Record<string, unknown>
  Body: URLSearchParams | undefined
}>

/** A request to the callback, as far as it can be read without the issuer. */
export interface AuthorizationResponse {
  /** Not verified. */
  parameters: URLSearchParams
  /** Not verified. */
  state: string | undefined
  /** The login that this browser began with this `state`. */
  transaction: LoginTransaction | undefined
}

/** Reads requests to the callback, each once. */
export function createResponseReader(app: FastifyInstance) {
  const known = new WeakMap<FastifyRequest, AuthorizationResponse>()

  async function read(request: CallbackRequest): Promise<AuthorizationResponse> {
    const parameters = parametersOf(request)
    const state = await app.issuer.stateOf(parameters)
    const response = { parameters, state, transaction: transactionOf(request, state) }
    known.set(request, response)
    return response
  }

  /** Also before the request was read, as after a rate limit: then the login is known if its `state` is in the URL. */
  function transactionSoFar(request: FastifyRequest): LoginTransaction | undefined {
    const response = known.get(request)
    return response
      ? response.transaction
      : transactionOf(request, (request.query as CallbackRequest['query'])['state'])
  }

  function transactionOf(request: FastifyRequest, state: unknown): LoginTransaction | undefined {
    return typeof state === 'string' ? app.browserCookies.transaction(request, state) : undefined
  }

  return { read, transactionSoFar }
}

function parametersOf({ method, body, raw }: CallbackRequest): URLSearchParams {
  if (method === 'POST') return new URLSearchParams(body)
  return new URLSearchParams(raw.url?.split('?').slice(1).join('?') ?? '')
}
