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
 * Limits header size over HTTP/2, and disconnects clients that begin a body and never finish it. Node's
 * `requestTimeout` would also abort an upload that is merely long.
 */
export default fp<Pick<Limits, 'bodyIdleTimeoutMs'>>(
  async (app, { bodyIdleTimeoutMs }) => {
    app.addHook('onRequest', ({ raw, id, log }, reply, done) => {
      const { headers, socket, rawHeaders, url = '' } = raw
      const stream = http2Stream(raw)
      const fault = stream && headerSizeFault(rawHeaders, url)
      if (fault) throw fault
      if (isCutShort(raw)) reply.raw.shouldKeepAlive = false
      if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return done()
      // Requests from Fastify's `inject` have no connection that could be idle.
      if (!stream && !(socket instanceof Socket)) return done()
      watchBody(raw, bodyIdleTimeoutMs, () => {
        if (stream) stream.close(constants.NGHTTP2_CANCEL)
        else refuse(socket, new GatewayError('BFF_REQUEST_TIMEOUT'), id, log)
      })
      done()
    })
  },
  { name: 'limits', fastify: '5.x' },
)
