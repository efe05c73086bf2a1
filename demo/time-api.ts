import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { fingerprint } from './issuer/events.ts'
import { listen, stop } from './listen.ts'

export interface TimeApiOptions {
  /** 0, the default, takes a free port. */
  port?: number
  /** Address to listen on. Default: loopback. */
  host?: string
  /** The issuer of accepted access tokens. */
  issuer: string
  /** Their required audience. */
  audience: string
}

export interface TimeApi {
  url: string
  port: number
  /** The latest thousand, oldest first. */
  requests: TimeApiRequest[]
  close(): Promise<void>
}

export interface TimeApiRequest {
  /** Milliseconds since the epoch. */
  at: number
  method: string
  url: string
  /** Without `authorization`. */
  headers: IncomingHttpHeaders
  /** Fingerprint of the access token, valid or not. */
  accessTokenHash?: string
  subject?: string
  status: number
}

interface Answer {
  status: number
  headers?: Record<string, string>
  body: Record<string, unknown>
  subject?: string
}

/**
 * A resource server as another team would run it: it knows nothing of the gateway, and trusts the
 * tokens that the issuer signed for it.
 *
 * @throws PortInUseError
 * @see https://www.rfc-editor.org/rfc/rfc9068
 */
export async function startTimeApi({ port = 0, host, issuer, audience }: TimeApiOptions): Promise<TimeApi> {
  const requests: TimeApiRequest[] = []
  const verify = createVerifier(issuer, audience)

  const server = createServer(async (request, response) => {
    const accessToken = bearerToken(request)
    const { status, headers, body, subject } = await answer(request, accessToken, verify)
    const { authorization: _, ...otherHeaders } = request.headers
    requests.push({
      at: Date.now(),
      method: request.method ?? '',
      url: request.url ?? '',
      headers: otherHeaders,
      status,
      ...(accessToken !== undefined && { accessTokenHash: fingerprint(accessToken) }),
      ...(subject !== undefined && { subject }),
    })
    if (requests.length > 1000) requests.shift()
    response.writeHead(status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...headers,
    })
    response.end(JSON.stringify(body))
  })
  const listeningPort = await listen(server, port, host)

  return {
    url: `http://127.0.0.1:${listeningPort}`,
    port: listeningPort,
    requests,
    close: () => stop(server),
  }
}

type Verify = (accessToken: string) => Promise<JWTPayload>

function createVerifier(issuer: string, audience: string): Verify {
  let keys: JWTVerifyGetKey | undefined
  return async (accessToken) => {
    keys ??= createRemoteJWKSet(await jwksUri(issuer))
    const requiredClaims = ['sub', 'exp', 'iat']
    return (await jwtVerify(accessToken, keys, { issuer, audience, typ: 'at+jwt', requiredClaims })).payload
  }
}

async function jwksUri(issuer: string): Promise<URL> {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`)
  const { jwks_uri: uri } = (await response.json()) as { jwks_uri: string }
  return new URL(uri)
}

async function answer(
  { method, url = '' }: IncomingMessage,
  accessToken: string | undefined,
  verify: Verify,
): Promise<Answer> {
  if (accessToken === undefined) return unauthorized('Bearer realm="time-api"', 'A bearer token is needed')
  try {
    const claims = await verify(accessToken)
    const subject = String(claims.sub)
    if (url.split('?')[0] !== '/gettime') return { status: 404, body: { error: 'not_found' }, subject }
    if (method !== 'GET')
      return { status: 405, headers: { allow: 'GET' }, body: { error: 'method' }, subject }
    return { status: 200, body: timeFor(claims), subject }
  } catch (error) {
    return refusal(error)
  }
}

function timeFor({ sub, iat = 0, exp = 0 }: JWTPayload): Record<string, unknown> {
  const now = Date.now()
  return {
    time: new Date(now).toISOString(),
    user: sub,
    tokenIssuedAt: new Date(iat * 1000).toISOString(),
    tokenExpiresAt: new Date(exp * 1000).toISOString(),
    tokenSecondsLeft: Math.floor(exp - now / 1000),
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc6750#section-3 */
function refusal(error: unknown): Answer {
  if (error instanceof errors.JWTExpired) return invalidToken('The access token expired')
  // Other errors of jose concern the token, except those of fetching the keys.
  const isAboutToken = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)
  if (isAboutToken && error.code !== 'ERR_JOSE_GENERIC') return invalidToken('The access token is not valid')
  return { status: 503, body: { error: 'issuer_unavailable' } }
}

function invalidToken(description: string): Answer {
  return unauthorized(`Bearer error="invalid_token", error_description="${description}"`, description)
}

function unauthorized(challenge: string, message: string): Answer {
  return { status: 401, headers: { 'www-authenticate': challenge }, body: { error: 'unauthorized', message } }
}

function bearerToken({ headers }: IncomingMessage): string | undefined {
  return /^Bearer +([\w.~+/=-]+)$/i.exec(headers.authorization ?? '')?.[1]
}
