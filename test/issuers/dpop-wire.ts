import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { decodeJwt, decodeProtectedHeader, type JWK } from 'jose'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { startDpopApi, startDpopIssuer } from '../support/dpop.ts'
import { freePort } from '../support/free-port.ts'

/**
 * Prints what gateway, issuer and API say to each other in a login with a pushed request, `private_key_jwt` and DPoP, in
 * calls of the API, and in a renewal: `node test/issuers/dpop-wire.ts`. Tokens are cut; proofs and assertions are shown
 * as what they hold.
 */
const ends: (() => Promise<unknown>)[] = []
const t = { after: (end: () => Promise<unknown>) => void ends.unshift(end) }

const secrets = [
  'authorization',
  'code',
  'code_verifier',
  'access_token',
  'refresh_token',
  'id_token',
  'request_uri',
]

const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-wire-'))
t.after(async () => rmSync(folder, { recursive: true }))
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const keyFile = join(folder, 'key.json')
writeFileSync(keyFile, JSON.stringify(privateKey.export({ format: 'jwk' })), { mode: 0o600 })

const issuer = await startDpopIssuer(t, {
  requirePushedAuthorizationRequests: true,
  clientMetadata: {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [publicKey.export({ format: 'jwk' }) as JWK] },
  } as never,
  configure: (configuration) => ({ ...configuration, clientAuthMethods: ['private_key_jwt'] }),
})
issuer.provider.use(async (ctx, next) => {
  await next()
  if (!['/request', '/token'].includes(ctx.path)) return
  const body: Record<string, string> = { ...ctx['oidc'].body }
  print(`${ctx.method} ${ctx.path}`, ctx.headers, Object.entries(body).map(parameter).join('\n&'))
  print(
    String(ctx.status),
    ctx.response.headers,
    JSON.stringify(ctx.body, (name, value) => (typeof value === 'string' ? shown(value, name) : value)),
  )
})

const api = await startDpopApi(t, issuer)
api.nonce = randomBytes(8).toString('base64url')
api.judge = ({ method, url, headers }) => {
  print(`${method} ${url}`, headers)
  return undefined
}

const port = await freePort()
const gateway = `http://localhost:${port}`
issuer.allowGateway(gateway)
const { options } = loadConfig({
  PUBLIC_URL: gateway,
  LOG_LEVEL: 'silent',
  OIDC_ISSUER: issuer.issuer,
  OIDC_CLIENT_ID: issuer.clientId,
  OIDC_CLIENT_PRIVATE_KEY_FILE: keyFile,
  OIDC_DPOP: 'true',
  OIDC_USERINFO: 'false',
  SESSION_KEYS: randomBytes(32).toString('base64'),
  API_URL: api.url,
})
const app = buildApp(options, {
  async localRoutes(scope: FastifyInstance) {
    scope.get('/renew', async (request) => {
      await request.tokenHeaders({ url: api.url, forceRenewal: true })
      return 'renewed'
    })
  },
})
t.after(() => app.close())
try {
  await app.listen({ port, host: 'localhost' })
  const browser = createHttpBrowser()
  const call = async (path: string) => {
    const { status } = await browser.fetch(gateway + path, { headers: { 'x-csrf': '1' } })
    console.log(`# ${path} was answered ${status}\n`)
    if (status !== 200) process.exitCode = 1
  }
  await browser.signIn(gateway, 'alice')
  await call('/api/orders?page=2')
  await call('/renew')
  await call('/api/orders?page=3')
} finally {
  for (const end of ends) await end()
}

/** Prints the headers that matter. */
function print(start: string, headers: object, body?: string): void {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    ['authorization', 'dpop', 'dpop-nonce', 'www-authenticate'].includes(name)
      ? `${name}: ${shown(String(value), name)}`
      : [],
  )
  console.log([start, ...lines, ...(body === undefined ? [] : ['', body])].join('\n'), '\n')
}

function parameter([name, value]: [string, string]): string {
  return `${name}=${shown(value, name)}`
}

/** Proofs and assertions are useless afterwards, and shown as what they hold; of secrets only the beginning. */
function shown(value: string, name: string): string {
  if (secrets.includes(name)) return `${value.slice(0, 16)}…`
  if (name !== 'dpop' && name !== 'client_assertion') return value
  return `${JSON.stringify(decodeProtectedHeader(value))}.${JSON.stringify(decodeJwt(value))}`
}
