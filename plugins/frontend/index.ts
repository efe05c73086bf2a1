import { relative, sep } from 'node:path'
import helmet from '@fastify/helmet'
import serveFiles from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'
import { GatewayError } from '../errors/catalogue.ts'
import { prefersPage } from '../errors/error-page.ts'
import { cacheControl } from './cache-control.ts'
import { type PageHeadersOptions, pageHeaders } from './page-headers.ts'

export interface FrontendOptions extends PageHeadersOptions {
  /** Folder of the built frontend. */
  staticDir: string
  /** For signed-in users only, so shared caches must not keep it. */
  isPrivate: boolean
}

/** Serves a built single-page application: its files, and `index.html` for every other page. */
const frontend: FastifyPluginAsync<FrontendOptions> = async (app, { staticDir, isPrivate, ...headers }) => {
  await app.register(helmet, pageHeaders(headers))
  app.setErrorHandler((error, _request, reply) => {
    if (!isUnmetCondition(error)) throw error
    return reply
      .code(error.statusCode)
      .headers(error.headers ?? {})
      .send()
  })
  await app.register(serveFiles, {
    root: staticDir,
    // One route for each existing file, so that a request's path is never used as a file system path.
    wildcard: false,
    // Serves `app.js.br` or `app.js.gz` instead of `app.js` if the browser accepts it.
    preCompressed: true,
    cacheControl: false,
    // The application may have registered @fastify/static already.
    decorateReply: !app.hasReplyDecorator('sendFile'),
    setHeaders(reply, path) {
      const file = relative(staticDir, path).replaceAll(sep, '/')
      reply.header('cache-control', cacheControl(file, isPrivate))
    },
  })

  app.get('/*', async (request, reply) => {
    if (!prefersPage(request.headers.accept)) throw new GatewayError('BFF_NOT_FOUND')
    return reply.sendFile('index.html', staticDir)
  })
}

export default frontend

interface UnmetCondition {
  statusCode: 412 | 416
  headers?: Record<string, string>
}

/** For a failed `If-Match` or an unsatisfiable range: the response needs no body. */
function isUnmetCondition(error: unknown): error is UnmetCondition {
  if (!(error instanceof Error) || !('statusCode' in error)) return false
  return error.statusCode === 412 || error.statusCode === 416
}
