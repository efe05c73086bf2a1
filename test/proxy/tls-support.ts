import { EventEmitter, once } from 'node:events'
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type SecureServerOptions,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { selfSignedCertificate } from '../support/certificate.ts'
import type { Gateway } from './support.ts'

export type Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown

/** The certificate of every API here. */
export const { cert, key } = selfSignedCertificate()

/** A request's path, HTTP version and client certificate. */
const tell: Handler = ({ httpVersion, method, url, headers, socket }, response) => {
  const peer = (socket as TLSSocket).getPeerCertificate().fingerprint256
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ httpVersion, method, url, headers, peer }))
}

/** An API that speaks HTTP/2 and HTTP/1.1 over TLS. */
export async function startTlsApi(t: TestContext, options: SecureServerOptions = {}, handle: Handler = tell) {
  const events = new EventEmitter()
  const names: unknown[] = []
  const server = createSecureServer({ cert, key, allowHTTP1: true, ...options }, (request, response) => {
    events.emit('request', request, response)
    handle(request, response)
  })
  const sockets = new Set<{ destroy(): void }>()
  server.on('secureConnection', (socket) => {
    names.push(socket.servername)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => {})
  server.listen(0)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { server, port, url: `https://localhost:${port}`, events, names }
}

/** What the API reports about the handshake of a WebSocket through the gateway. */
export async function tellBySocket({ server }: { server: unknown }, { port, url }: Gateway): Promise<string> {
  const sockets = new WebSocketServer({ server: server as never })
  sockets.once('connection', (socket, { httpVersion }) => socket.send(httpVersion))
  const socket = new WebSocket(`ws://localhost:${port}/api/x`, { headers: { origin: url } })
  const [text] = await once(socket, 'message')
  socket.terminate()
  return String(text)
}
