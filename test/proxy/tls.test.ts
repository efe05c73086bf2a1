import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selfSignedCertificate } from '../support/certificate.ts'
import { errorCode, startGateway } from './support.ts'
import { cert, key, startTlsApi, tellBySocket } from './tls-support.ts'

test('an upstream that demands a client certificate gets it, from requests and WebSockets', async (t) => {
  const mine = selfSignedCertificate()
  const api = await startTlsApi(t, { requestCert: true, rejectUnauthorized: true, ca: mine.cert })
  const target = { target: api.url, ca: cert }
  const gateway = await startGateway(t, [
    { ...target, clientCert: mine.cert, clientKey: mine.key },
    { ...target, prefix: '/nameless' },
    { ...target, prefix: '/stranger', clientCert: cert, clientKey: key },
  ])

  const { status, text } = await gateway.call('/api/x')
  assert.equal(status, 200)
  assert.match(JSON.parse(text).peer, /^[\dA-F:]{95}$/)
  assert.equal(await tellBySocket(api, gateway), '1.1')

  for (const prefix of ['/nameless', '/stranger']) {
    const reply = await gateway.call(`${prefix}/x`)
    assert.deepEqual([reply.status, errorCode(reply)], [502, 'BFF_UPSTREAM_UNREACHABLE'], prefix)
  }
})

test('serverName is sent as SNI, and the certificate must be for it', async (t) => {
  const api = await startTlsApi(t)
  // An address that is not in the certificate.
  const target = { target: `https://127.0.0.2:${api.port}`, ca: cert }
  const gateway = await startGateway(t, [
    { ...target, serverName: 'localhost' },
    { ...target, prefix: '/other', serverName: 'other.example' },
    { ...target, prefix: '/host' },
    { ...target, target: api.url, prefix: '/named', serverName: 'other.example' },
  ])

  const { status, text } = await gateway.call('/api/x')
  assert.equal(status, 200)
  assert.equal(JSON.parse(text).headers.host, `127.0.0.2:${api.port}`)
  assert.deepEqual(api.names, ['localhost'])
  await tellBySocket(api, gateway)
  assert.deepEqual(api.names, ['localhost', 'localhost'])

  for (const prefix of ['/other', '/host', '/named'])
    assert.equal((await gateway.call(`${prefix}/x`)).status, 502, prefix)
})
