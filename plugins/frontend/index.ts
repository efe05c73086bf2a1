import { relative, sep } from 'node:path'
import helmet from '@fastify/helmet'
import serveFiles from '@fastify/static'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { GatewayError } from '../errors/catalogue.ts'
import { prefersPage } from '../errors/error-page.ts'
import { cacheControl } from './cache-control.ts'
import { applicationPage, createPageReader, unroutableFiles, withoutRoute } from './files.ts'
import { type PageHeadersOptions, pageHeaders } from './page-headers.ts'
import { createPagePolicy } from './page-policy.ts'

export interface FrontendOptions extends PageHeadersOptions {
  /** Folder of the built frontend. */
  staticDir: string
  /** For signed-in users only, so shared caches must not keep it. */
  isPrivate: boolean
}

/** Serves a built single-page application: its files, and its page for every other path. */
const frontend: FastifyPluginAsync<FrontendOptions> = async (app, { staticDir, isPrivate, ...headers }) => {
  const policy = createPagePolicy(headers)
  const codeOf = createPageReader()
  await app.register(helmet, pageHeaders(headers))
  // Files other than pages have a policy, too: that of a worker is its script's.
  app.addHook('onRequest', async (_request, reply) => void reply.header('content-security-policy', policy()))
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
    serveDotFiles: true,
    globIgnore: withoutRoute,
    // Serves `app.js.br` or `app.js.gz` instead of `app.js` if the browser accepts it.
    preCompressed: true,
    cacheControl: false,
    // The application may have registered @fastify/static already.
    decorateReply: !app.hasReplyDecorator('sendFile'),
    setHeaders(reply, path) {
      const file = relative(staticDir, path).replaceAll(sep, '/')
      reply.header('cache-control', cacheControl(file, isPrivate))
      const page = withoutCompression(path)
      if (/\.html?$/.test(page)) reply.header('content-security-policy', policy(codeOf(page)))
    },
  })

  const page = applicationPage(staticDir)
  const unroutable = unroutableFiles(staticDir)
  app.get('/*', async (request: FastifyRequest<{ Params: { '*': string } }>, reply) => {
    const path = request.params['*']
    if (unroutable.has(path)) return reply.sendFile(path, staticDir)
    if (!prefersPage(request.headers.accept)) throw new GatewayError('BFF_NOT_FOUND')
    return reply.sendFile(page, staticDir)
  })
}

export default frontend

function withoutCompression(path: string): string {
  return path.replace(/\.(br|gz|deflate)$/, '')
}

interface UnmetCondition {
  statusCode: 412 | 416
  headers?: Record<string, string>
}

/** For a failed `If-Match` or an unsatisfiable range: the response needs no body. */
function isUnmetCondition(error: unknown): error is UnmetCondition {
  if (!(error instanceof Error) || !('statusCode' in error)) return false
  return error.statusCode === 412 || error.statusCode === 416
}
