import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/**
 * Parses forms that the issuer posts: logout tokens, and authorization responses of the response mode `form_post`. Other
 * content types are accepted, but without parameters.
 */
export function readForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => new URLSearchParams(body),
  )
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async () => undefined)
}

/** Lets the routes of this scope accept a body of any type, and ignore it. */
export function ignoreBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', async (_request: FastifyRequest, body: IncomingMessage) => void body.resume())
}
