import { request } from 'node:http'
import { createServer } from 'node:https'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import * as tls from 'node:tls'
import type { Configuration } from 'oidc-provider'
import { listen, stop } from '../../demo/listen.ts'
import { type Authority, certificateAuthority } from './certificate.ts'
import { metadataPath, startFaultyIssuer } from './faulty-issuer.ts'

/** Set by the TLS endpoint, as a proxy in front of an issuer does. */
const header = 'x-client-certificate'

/** The provider takes client certificates from the endpoint in front of it. @param authority trusted for these */
export function withMutualTls(authority: Authority) {
  return (configuration: Configuration): Configuration => ({
    ...configuration,
    clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth', 'client_secret_basic', 'none'],
    features: {
      ...configuration.features,
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => decodeURIComponent(ctx.get(header)) || undefined,
        certificateAuthorized: (ctx) => ctx.get(`${header}-verified`) === authority.cert.length.toString(),
        certificateSubjectMatches: (ctx, _property, expected) => ctx.get(`${header}-subject`) === expected,
      },
    },
  })
}

/**
 * An issuer whose metadata name aliases for clients with a certificate: those lead to an endpoint that demands one.
 * Trusted by this process from then on.
 */
export async function startMutualTlsIssuer(
  t: TestContext,
  options: Parameters<typeof startFaultyIssuer>[0] = {},
) {
  const authority = certificateAuthority()
  const issuer = await startFaultyIssuer({ configure: withMutualTls(authority), ...options })
  t.after(() => issuer.close())
  const { cert, key } = authority.issue('localhost')
  trust(authority.cert)
  /** Paths that were asked with a certificate, and its subject. */
  const seen: { path: string; subject: string | undefined }[] = []
  const server = createServer({ cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: false })
  server.on('request', (incoming, outgoing) => {
    const socket = incoming.socket as TLSSocket
    const certificate = socket.getPeerX509Certificate()
    const subject = certificate?.subject.replace('CN=', '')
    seen.push({ path: incoming.url ?? '', subject })
    const headers: Record<string, unknown> = { ...incoming.headers, host: `localhost:${issuer.port}` }
    if (certificate) headers[header] = encodeURIComponent(certificate.toString())
    if (certificate) headers[`${header}-subject`] = subject
    if (socket.authorized) headers[`${header}-verified`] = authority.cert.length.toString()
    const { method, url: path } = incoming
    const forwarded = request({ host: 'localhost', port: issuer.port, method, path, headers } as object)
    forwarded.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 500, response.headers)
      response.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  issuer.rewrite(metadataPath, (metadata) => {
    const aliases = ['token_endpoint', 'revocation_endpoint', 'userinfo_endpoint'].map((name) => [
      name,
      String(metadata[name]).replace(issuer.issuer, `https://localhost:${port}`),
    ])
    metadata['mtls_endpoint_aliases'] = Object.fromEntries(aliases)
  })
  return { issuer, authority, seen }
}

function trust(certificate: string): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate])
}
