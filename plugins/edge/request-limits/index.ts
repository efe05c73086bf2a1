import { constants } from 'node:http2'
import { Socket } from 'node:net'
import fp from 'fastify-plugin'
import type { Limits } from '../../../http/limits.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import { refuse } from '../../errors/index.ts'
import { http2Stream } from '../http2-messages.ts'
import { isCutShort } from '../upgrade.ts'
import { headerSizeFault } from './header-size.ts'
import { watchBody } from './idle-body.ts'

/**
 * Clients that begin a body and never finish it are let go. Node's `requestTimeout` would do that too, but also cut
 * off an upload that only takes long.
 */
export default fp<Pick<Limits, 'bodyIdleTimeoutMs'>>(
  async (app, { bodyIdleTimeoutMs }) => {
    app.addHook('onRequest', async ({ raw, id, log }, reply) => {
      const { headers, socket, rawHeaders, url = '' } = raw
      const stream = http2Stream(raw)
      const fault = stream && headerSizeFault(rawHeaders, url)
      if (fault) throw fault
      if (isCutShort(raw)) reply.raw.shouldKeepAlive = false
      if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return
      // What Fastify's `inject` hands in comes over no connection, so none can be idle.
      if (!stream && !(socket instanceof Socket)) return
      watchBody(raw, bodyIdleTimeoutMs, () => {
        if (stream) stream.close(constants.NGHTTP2_CANCEL)
        // Answered in part, or not yet the next to be answered.
        else if (reply.raw.headersSent || reply.raw.socket === null) socket.destroy()
        else refuse(socket, new GatewayError('BFF_REQUEST_TIMEOUT'), id, log)
      })
    })
  },
  { name: 'limits', fastify: '5.x' },
)
