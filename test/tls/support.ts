import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connect as connectTls, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { type Gateway, type GatewayOptions, startGateway, type WantedUpstream } from '../proxy/support.ts'
import { selfSignedCertificate } from '../support/certificate.ts'
import { freePort } from '../support/free-port.ts'

/** A gateway with its own TLS. */
export interface TlsGateway extends Gateway {
  cert: string
  certFile: string
  keyFile: string
  /** An HTTP/2 connection. */
  connect(): Promise<ClientHttp2Session>
}

/** One authority for all, as OpenSSL finds only one by its name. This process's `fetch` trusts it. */
const certificate = selfSignedCertificate()
setDefaultCACertificates([...getCACertificates('default'), certificate.cert])

/** Upstreams as for {@link startGateway}. */
export async function startTlsGateway(
  t: TestContext,
  upstreams: WantedUpstream[] = [],
  options: GatewayOptions = {},
): Promise<TlsGateway> {
  const { cert, certFile, keyFile } = writeCertificate(t)
  const port = await freePort()
  const url = `https://localhost:${port}`
  const gateway = await startGateway(t, upstreams, {
    ...options,
    port,
    env: { PUBLIC_URL: url, TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, ...options.env },
  })
  return { ...gateway, url, cert, certFile, keyFile, connect: () => connectTo(t, url, cert) }
}

/** Writes a certificate and its key to files. */
export function writeCertificate(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-tls-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const files = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') }
  const { cert, key } = certificate
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, key)
  return { ...files, cert, key, folder }
}

export async function connectTo(t: TestContext, url: string, ca: string): Promise<ClientHttp2Session> {
  const session = connect(url, { ca })
  session.on('error', () => {})
  t.after(() => session.destroy())
  await once(session, 'connect')
  return session
}

/**
 * A client in the middle of its handshake, through a proxy that holds back the client's last messages.
 * Resolves when the server has sent its part.
 */
export async function beginHandshake(t: TestContext, port: number, ca: string) {
  const proxy = createServer().listen(0, '127.0.0.1')
  t.after(() => proxy.close())
  await once(proxy, 'listening')
  const client = connectTls({ port: (proxy.address() as AddressInfo).port, servername: 'localhost', ca })
  client.on('error', () => {})
  const [near] = (await once(proxy, 'connection')) as [Socket]
  const far = connectTcp(port, '127.0.0.1')
  const [hello] = await once(near, 'data')
  near.pause()
  far.pipe(near)
  far.write(hello)
  await once(far, 'data')
  return { finish: () => near.pipe(far), closed: once(far, 'close') }
}

export interface Http2Reply {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** A request whose body has not ended, with the CSRF header. */
export function openStream(session: ClientHttp2Session, path: string, headers: OutgoingHttpHeaders = {}) {
  const endStream = (headers[':method'] ?? 'GET') === 'GET'
  return session.request({ ':path': path, 'x-csrf': '1', ...headers }, { endStream }).on('error', () => {})
}

/** Rejects when the answer is aborted. */
export async function replyOf(stream: ClientHttp2Stream): Promise<Http2Reply> {
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  let text = ''
  for await (const chunk of stream) text += chunk
  if (stream.rstCode !== 0) throw new Error(`Reset with ${stream.rstCode}`)
  return { status: Number(headers[':status']), headers, text }
}

/** One request and its answer. */
export function request(
  session: ClientHttp2Session,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer,
): Promise<Http2Reply> {
  const stream = openStream(session, path, { ...(body !== undefined && { ':method': 'POST' }), ...headers })
  if (body !== undefined) stream.end(body)
  return replyOf(stream)
}
