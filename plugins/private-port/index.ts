import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'

/** A private port can't be opened. */
export class PrivatePortError extends Error {
  readonly code = 'PRIVATE_PORT_UNAVAILABLE'

  constructor({ host, port, purpose }: PrivatePortOptions, cause: unknown) {
    super(`Can't listen on ${host}, port ${port}, for ${purpose}`, { cause })
  }
}

export interface PrivatePortOptions {
  host: string
  /** Must not be public. 0: any free one. */
  port: number
  /** For log and errors, such as `metrics`. */
  purpose: string
  /** Of the log line, once it listens. */
  event: string
  /** Shown in that line. */
  path: string
}

/**
 * A second server, for operators. It listens as soon as `app` is ready, and closes with it.
 * It logs nothing by itself: Prometheus asks every few seconds.
 */
export function openPrivatePort(app: FastifyInstance, options: PrivatePortOptions): FastifyInstance {
  const { host, port, purpose, event, path } = options
  const server = Fastify({ logger: false, genReqId: () => randomUUID() })
  app.addHook('onReady', async () => {
    const url = await server.listen({ host, port }).catch((cause: unknown) => {
      throw new PrivatePortError(options, cause)
    })
    app.log.info({ event }, `${purpose.charAt(0).toUpperCase()}${purpose.slice(1)} at ${url}${path}`)
  })
  app.addHook('onClose', () => server.close())
  return server
}
