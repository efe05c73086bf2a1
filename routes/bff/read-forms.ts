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
