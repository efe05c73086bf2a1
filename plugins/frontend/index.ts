import { basename } from 'node:path'
import helmet from '@fastify/helmet'
import serveFiles from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'
import { GatewayError } from '../errors/catalogue.ts'
import { prefersPage } from '../errors/error-page.ts'
import { pageHeaders } from './page-headers.ts'

export interface FrontendOptions {
  /** Folder with the built frontend. */
  staticDir: string
  /** Whether browsers reach the gateway by https. */
  https: boolean
}

/** Serves a built single-page application: its files, and for every other page its `index.html`. */
const frontend: FastifyPluginAsync<FrontendOptions> = async (app, { staticDir, https }) => {
  await app.register(helmet, pageHeaders(https))
  await app.register(serveFiles, {
    root: staticDir,
    // A route for each file there is, so that a path from outside never becomes a path in the file system.
    wildcard: false,
    // An application may serve files too.
    decorateReply: !app.hasReplyDecorator('sendFile'),
    setHeaders(reply, path) {
      // The page names the files that belong to it: an old one would name files that are gone.
      if (basename(path) === 'index.html') reply.header('cache-control', 'no-cache')
    },
  })

  app.get('/*', async (request, reply) => {
    if (!prefersPage(request.headers.accept)) throw new GatewayError('BFF_NOT_FOUND')
    return reply.sendFile('index.html', staticDir)
  })
}

export default frontend
