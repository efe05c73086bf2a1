import { relative, sep } from 'node:path'
import helmet from '@fastify/helmet'
import serveFiles from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'
import { GatewayError } from '../errors/catalogue.ts'
import { prefersPage } from '../errors/error-page.ts'
import { cacheControl } from './cache-control.ts'
import { type PageHeadersOptions, pageHeaders } from './page-headers.ts'

export interface FrontendOptions extends PageHeadersOptions {
  /** Folder with the built frontend. */
  staticDir: string
  /** Only for those who are signed in, so no cache that users share may keep it. */
  isPrivate: boolean
}

/** Serves a built single-page application: its files, and for every other page its `index.html`. */
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
    // A route for each file there is, so that a path from outside never becomes a path in the file system.
    wildcard: false,
    // `app.js.br` or `app.js.gz` instead of `app.js`, for those who accept it.
    preCompressed: true,
    cacheControl: false,
    // An application may serve files too.
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

/** A version or a range was asked for that the file doesn't have. The status says it all. */
function isUnmetCondition(error: unknown): error is UnmetCondition {
  if (!(error instanceof Error) || !('statusCode' in error)) return false
  return error.statusCode === 412 || error.statusCode === 416
}
