import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { decodeJwt } from 'jose'
import type { ClientMetadata } from 'oidc-provider'
import { startTlsApi } from '../proxy/tls-support.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { startMutualTlsIssuer } from '../support/mutual-tls.ts'
import { temporaryFile } from '../support/temporary-file.ts'

const extras = {
  async localRoutes(app: FastifyInstance) {
    app.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  },
}

const thumbprintOf = (der: Buffer) => createHash('sha256').update(der).digest('base64url')

test('tokens bound to the client certificate reach the API over connections with it, renewed ones too', async (t) => {
  const { issuer, authority } = await startMutualTlsIssuer(t, {
    apiAudience: 'https://api.example.com',
    clientMetadata: {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'gateway.example.com',
      tls_client_certificate_bound_access_tokens: true,
    } as Partial<ClientMetadata>,
  })
  const server = authority.issue('localhost')
  // RFC 8705 section 3: the certificate of the connection must be that of the token.
  const api = await startTlsApi(
    t,
    { ...server, ca: authority.cert, requestCert: true, rejectUnauthorized: false },
    ({ headers, socket }, response) => {
      const token = headers.authorization?.replace('Bearer ', '') ?? ''
      const { cnf } = decodeJwt<{ cnf?: { 'x5t#S256'?: string } }>(token)
      const { raw } = (socket as TLSSocket).getPeerCertificate()
      const isBound = raw !== undefined && cnf?.['x5t#S256'] === thumbprintOf(raw)
      response.writeHead(isBound ? 200 : 401).end(JSON.stringify({ token }))
    },
  )
  const { cert, key } = authority.issue('gateway.example.com')
  const [certFile, keyFile] = [temporaryFile(t, cert), temporaryFile(t, key)]
  const upstream = { prefix: '/api', target: api.url, ca: authority.cert }
  const call = async (upstreams: object[]) => {
    const { newBrowser } = await startInjectGateway(t, {
      issuer,
      extras,
      env: {
        OIDC_CLIENT_SECRET: '',
        OIDC_CLIENT_CERT_FILE: certFile,
        OIDC_CLIENT_KEY_FILE: keyFile,
        CONFIG_FILE: temporaryFile(t, JSON.stringify({ upstreams })),
      },
    })
    const browser = newBrowser()
    await browser.signIn()
    return browser
  }

  const browser = await call([{ ...upstream, clientCert: cert, clientKey: key }])
  const first = await browser.call('/api/time')
  assert.equal(first.statusCode, 200)
  assert.equal((await browser.call('/renew')).body, 'renewed')
  const second = await browser.call('/api/time')
  assert.equal(second.statusCode, 200)
  assert.notEqual(second.json().token, first.json().token)

  const without = await call([upstream])
  assert.equal((await without.call('/api/time')).statusCode, 401)
})
