import { decodeJwt, type JWTPayload, jwtVerify } from 'jose'
import type { ServerMetadata } from 'openid-client'
import type { Decryption } from './decryption.ts'
import type { IssuerOptions } from './issuer.ts'
import type { SigningKeys } from './issuer-keys.ts'
import { TokenError, withEachKey } from './verify-jwt.ts'

interface Context {
  server: ServerMetadata
  decryption: Decryption
  keys: SigningKeys
  /** Milliseconds since the epoch. */
  now: number
}

type ResponseMode = Pick<IssuerOptions, 'responseMode'>

/**
 * The `state` of a response, also of a signed one, which is not verified here. Where responses are not signed none is
 * read or decrypted, as anyone could send one.
 */
export async function stateOf(
  parameters: URLSearchParams,
  options: ResponseMode,
  { decrypt }: Decryption,
): Promise<string | undefined> {
  const jwt = isSigned(options) ? single(parameters, 'response') : undefined
  if (jwt === undefined) return single(parameters, 'state')
  try {
    const { state } = decodeJwt(await decrypt(jwt))
    return typeof state === 'string' ? state : undefined
  } catch {
    return undefined
  }
}

/**
 * The response with plain parameters, for openid-client, which checks them.
 *
 * @param callbackUrl the redirect URI with the parameters of the browser's request
 * @throws when a response that must be signed is not valid, or lacks the `iss` that the metadata announce
 * @see https://openid.net/specs/oauth-v2-jarm.html and https://www.rfc-editor.org/rfc/rfc9207
 */
export async function authorizationResponse(
  callbackUrl: URL,
  options: Pick<IssuerOptions, 'responseMode' | 'clientId' | 'clockToleranceMs'>,
  context: Context,
): Promise<URL> {
  const url = isSigned(options) ? await verified(callbackUrl, options, context) : callbackUrl
  if (context.server.authorization_response_iss_parameter_supported && !url.searchParams.has('iss'))
    throw new TokenError(
      'The issuer announces the parameter iss of callbacks and has not sent it: if it never does, set OIDC_ISS_PARAMETER=optional',
      'CALLBACK_WITHOUT_ISS',
    )
  return url
}

export function sessionStateOf({ searchParams }: URL): { sessionState?: string } {
  const sessionState = single(searchParams, 'session_state')
  return sessionState === undefined ? {} : { sessionState }
}

function isSigned({ responseMode }: ResponseMode): boolean {
  return responseMode.endsWith('jwt')
}

async function verified(
  callbackUrl: URL,
  { clientId, clockToleranceMs }: Pick<IssuerOptions, 'clientId' | 'clockToleranceMs'>,
  { server, decryption, keys, now }: Context,
): Promise<URL> {
  const jwt = single(callbackUrl.searchParams, 'response')
  // An attacker could otherwise send a plain response instead.
  if (jwt === undefined)
    throw new TokenError('The authorization response is not signed (JARM)', 'RESPONSE_NOT_SIGNED')
  const signed = await decryption.decrypt(jwt)
  const { payload } = await withEachKey(keys.keys, (key) =>
    jwtVerify(signed, key, {
      algorithms: keys.algorithms,
      issuer: server.issuer,
      audience: clientId,
      requiredClaims: ['iss', 'aud', 'exp'],
      clockTolerance: clockToleranceMs / 1000,
      currentDate: new Date(now),
    }),
  )
  const url = new URL(callbackUrl)
  url.search = plainParameters(payload).toString()
  return url
}

function plainParameters({ aud: _, exp: __, iat: ___, nbf: ____, jti: _____, ...claims }: JWTPayload) {
  const entries = Object.entries(claims).map(([name, value]) => [name, String(value)] as const)
  return new URLSearchParams(Object.fromEntries(entries))
}

/** Undefined if it is missing or repeated. */
function single(parameters: URLSearchParams, name: string): string | undefined {
  const [value, ...more] = parameters.getAll(name)
  return more.length === 0 ? value : undefined
}
