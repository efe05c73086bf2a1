import assert from 'node:assert/strict'
import { test } from 'node:test'
import { internalAddress } from '../../../plugins/issuer/internal-address.ts'

function setUp(issuer: string, internal: string | undefined) {
  const requested: string[] = []
  const address = internalAddress(new URL(issuer), internal ? new URL(internal) : undefined, async (url) => {
    requested.push(String(url))
    return new Response()
  })
  const reached = async (url: string) => {
    await address.fetch(url)
    return requested.pop()
  }
  const mapped = (metadata: object) => JSON.parse(address.publicMetadata(JSON.stringify(metadata)))
  return { reached, mapped, publicMetadata: address.publicMetadata }
}

test('requests for the issuer go to the internal address, all others where they lead', async () => {
  for (const internal of ['http://keycloak:8080', 'http://keycloak:8080/realms/x']) {
    const { reached } = setUp('https://login.example.com/realms/x', internal)
    assert.equal(
      await reached('https://login.example.com/realms/x/token?a=b'),
      'http://keycloak:8080/realms/x/token?a=b',
    )
    assert.equal(await reached('https://login.example.com/keys'), 'http://keycloak:8080/keys')
    assert.equal(await reached('https://login.example.com:8443/keys'), 'https://login.example.com:8443/keys')
    assert.equal(await reached('https://elsewhere.example/realms/x'), 'https://elsewhere.example/realms/x')
  }
})

test('an issuer may have another path at its internal address', async () => {
  const { reached, mapped } = setUp('https://example.com/auth', 'http://issuer:8080/oidc')
  assert.equal(await reached('https://example.com/auth/token'), 'http://issuer:8080/oidc/token')
  assert.equal(await reached('https://example.com/authors'), 'http://issuer:8080/authors')
  assert.deepEqual(mapped({ a: 'http://issuer:8080/oidc/token' }), { a: 'https://example.com/auth/token' })
  const root = setUp('https://example.com', 'http://issuer:8080/oidc')
  assert.equal(await root.reached('https://example.com/token'), 'http://issuer:8080/oidc/token')
})

test('metadata that name the internal address are mapped to the public one, but for the identifier', () => {
  const { mapped, publicMetadata } = setUp('https://login.example.com/realms/x', 'http://keycloak:8080')
  const internal = 'http://keycloak:8080/realms/x'
  const metadata = {
    issuer: internal,
    authorization_endpoint: `${internal}/auth`,
    jwks_uri: 'https://keys.example.com/x',
    mtls_endpoint_aliases: { token_endpoint: `${internal}/token` },
    scopes_supported: ['openid', 'http://'],
    claims_supported: null,
  }
  assert.deepEqual(mapped(metadata), {
    ...metadata,
    authorization_endpoint: 'https://login.example.com/realms/x/auth',
    mtls_endpoint_aliases: { token_endpoint: 'https://login.example.com/realms/x/token' },
  })
  assert.equal(publicMetadata('<html>'), '<html>')
})

test('without an internal address nothing is mapped', async () => {
  const { reached, publicMetadata } = setUp('https://login.example.com', undefined)
  assert.equal(await reached('https://login.example.com/token'), 'https://login.example.com/token')
  assert.equal(publicMetadata('{ "a": 1 }'), '{ "a": 1 }')
})
