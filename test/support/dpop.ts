import { hash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  decodeJwt,
  EmbeddedJWK,
  type JWTPayload,
  jwtVerify,
} from 'jose'
import { WebSocketServer } from 'ws'
import type { IssuerOptions } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { type FaultyIssuer, startFaultyIssuer } from './faulty-issuer.ts'
import type { Ending } from './gateway.ts'

const audience = 'urn:test:api'

export interface DpopIssuer extends FaultyIssuer {
  /** Its requests so far that came with a proof or should have had one. */
  proven: ProvenAtIssuer[]
}

export interface DpopIssuerOptions extends IssuerOptions {
  /** Access tokens are for UserInfo, not for an API. */
  opaqueTokens?: boolean
}

export interface ProvenAtIssuer {
  path: string
  status: number
  /** `grant_type` of a token request. */
  grant: string | undefined
  /** Claims of the proof, if there was one. */
  proof: JWTPayload | undefined
  body: Record<string, unknown>
}

/** An issuer that gives this client bound tokens only, and takes only proofs with a nonce. */
export async function startDpopIssuer(t: Ending, options: DpopIssuerOptions = {}): Promise<DpopIssuer> {
  const {
    configure = (configuration) => configuration,
    clientMetadata,
    opaqueTokens = false,
    ...others
  } = options
  const issuer = await startFaultyIssuer({
    ...(!opaqueTokens && { apiAudience: audience }),
    // Longer than a test lasts, on a busy machine too.
    accessTokenLifetime: 600,
    ...others,
    clientMetadata: { dpop_bound_access_tokens: true, ...clientMetadata },
    configure: (configuration) =>
      configure({
        ...configuration,
        features: {
          ...configuration.features,
          dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
        },
      }),
  })
  t.after(() => issuer.close())
  const proven: ProvenAtIssuer[] = []
  issuer.provider.use(async (ctx, next) => {
    await next()
    if (!['/request', '/token', '/me'].includes(ctx.path)) return
    const { path, status } = ctx
    const body: Record<string, unknown> = { ...ctx['oidc']?.body }
    const grant = body['grant_type'] as string | undefined
    const dpop = ctx.get('dpop')
    proven.push({ path, status, grant, proof: dpop === '' ? undefined : decodeJwt(dpop), body })
  })
  return { ...issuer, proven }
}

export interface DpopApi {
  url: string
  /** All requests, WebSockets too. */
  requests: DpopRequest[]
  /** Which nonce proofs must have. Unset: any or none. */
  nonce: string | undefined
  /** Sent with every successful answer, and from then on demanded. */
  nextNonce: string | undefined
  /** Changes what is verified: for APIs that refuse. @returns an error */
  judge: (request: IncomingMessage) => string | undefined
}

export interface DpopRequest {
  method: string
  url: string
  status: number
  /** Undefined: the request was accepted. */
  error: string | undefined
  /** Claims of the proof. */
  proof: JWTPayload
  token: string
  jkt: string
}

/**
 * A resource server that accepts only access tokens of this issuer that are bound to a key, with a proof that is valid
 * for exactly this request and was never used before.
 * @see https://www.rfc-editor.org/rfc/rfc9449#section-4.3
 */
export async function startDpopApi(
  t: Ending,
  issuer: Pick<FaultyIssuer, 'issuer'>,
  now: () => number = Date.now,
): Promise<DpopApi> {
  const keys = createRemoteJWKSet(new URL(`${issuer.issuer}/jwks`))
  const used = new Set<string>()
  const server = createServer(async (request, response) => {
    request.resume()
    const { status, headers, text } = await answerTo(request)
    response.writeHead(status, headers).end(text)
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { status, headers, text } = await answerTo(request)
    if (status === 200) return sockets.handleUpgrade(request, socket, head, (opened) => opened.send('hello'))
    const fields = Object.entries({ ...headers, connection: 'close', 'content-length': String(text.length) })
    const head_ = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.end(`HTTP/1.1 ${status} Refused\r\n${head_}\r\n${text}`)
  })
  const origin = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  const api: DpopApi = {
    url: `${origin}/v1`,
    requests: [],
    nonce: undefined,
    nextNonce: undefined,
    judge: () => undefined,
  }
  return api

  async function answerTo(request: IncomingMessage) {
    const { method = '', url = '' } = request
    const seen = { method, url, proof: {}, token: '', jkt: '' } as DpopRequest
    const error = api.judge(request) ?? (await faultOf(request, seen).catch((thrown) => String(thrown)))
    const status = error === undefined ? 200 : 401
    api.requests.push({ ...seen, status, error })
    if (error === undefined) {
      api.nonce = api.nextNonce ?? api.nonce
      return { status, headers: nonceHeader(api.nextNonce), text: `${method} ${url}` }
    }
    const headers = { ...nonceHeader(api.nonce), 'www-authenticate': `DPoP error="${error}", algs="ES256"` }
    return { status, headers, text: 'refused' }
  }

  async function faultOf(
    { method, url = '', headers }: IncomingMessage,
    seen: DpopRequest,
  ): Promise<string | undefined> {
    const [, token = ''] = /^DPoP (\S+)$/.exec(headers.authorization ?? '') ?? []
    if (token === '') return 'invalid_token: no DPoP token'
    const { payload: claims } = await jwtVerify(token, keys, {
      issuer: issuer.issuer,
      audience,
      typ: 'at+jwt',
    })
    const { payload: proof, protectedHeader } = await jwtVerify(String(headers['dpop']), EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'ES512'],
      requiredClaims: ['jti', 'htm', 'htu', 'iat', 'ath'],
      maxTokenAge: 60,
      currentDate: new Date(now()),
    })
    const { jwk = {} } = protectedHeader
    const jkt = await calculateJwkThumbprint(jwk)
    Object.assign(seen, { proof, token, jkt })
    if ('d' in jwk) return 'invalid_dpop_proof: private key'
    if (Object(claims['cnf']).jkt !== jkt) return 'invalid_token: bound to another key'
    if (proof['htm'] !== method) return 'invalid_dpop_proof: htm'
    if (proof['htu'] !== origin + url.split('?')[0]) return 'invalid_dpop_proof: htu'
    if (proof['ath'] !== hash('sha256', token, 'base64url')) return 'invalid_dpop_proof: ath'
    if (used.has(String(proof.jti))) return 'invalid_dpop_proof: jti'
    used.add(String(proof.jti))
    if (api.nonce !== undefined && proof['nonce'] !== api.nonce) return 'use_dpop_nonce'
    return undefined
  }
}

function nonceHeader(nonce: string | undefined): Record<string, string> {
  return nonce === undefined ? {} : { 'dpop-nonce': nonce }
}
