import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import type { SigningKey } from './client-authentication/signing-key.ts'
import { expandKey } from './dpop/compact-key.ts'
import { proofOptions } from './dpop/issuer-proofs.ts'
import { type DpopKey, thumbprint } from './dpop/key.ts'
import type { Nonces } from './dpop/nonces.ts'
import type { AuthorizationRequest, IssuerOptions } from './issuer.ts'
import { pushedAuthorizationUrl } from './pushed-authorization.ts'

type RequestOptions = Pick<IssuerOptions, 'par' | 'requestObject' | 'responseMode'>

type ScopedRequest = AuthorizationRequest & { scope: string }

interface Context {
  configuration: oidc.Configuration
  /** Unset: the request is not signed. */
  requestKey: SigningKey | undefined
  nonces: Nonces
  /** Milliseconds since the epoch. */
  now: number
}

/** How much earlier than now a request object is valid, for an issuer whose clock is behind. */
const backdatedSeconds = 10

/**
 * The URL where the browser logs in. The request is signed (RFC 9101), pushed (RFC 9126), both, or in the URL.
 * @throws LoginError, GatewayError as `Issuer.authorizationUrl`
 */
export async function authorizationUrl(
  request: ScopedRequest,
  options: RequestOptions,
  { configuration, requestKey, nonces, now }: Context,
): Promise<URL> {
  const key = request.loginKey === undefined ? undefined : expandKey(request.loginKey)
  const parameters = await parametersOf(request, key, options)
  const signed = requestKey && (await signedParameters(configuration, parameters, requestKey))
  if (pushes(options, configuration.serverMetadata())) {
    const proofs = await proofOptions(configuration, key, nonces)
    return pushedAuthorizationUrl(configuration, signed ?? parameters, proofs, now)
  }
  if (!signed) return oidc.buildAuthorizationUrl(configuration, parameters)
  // OpenID Connect demands these two outside of the request object as well.
  signed.set('response_type', 'code')
  signed.set('scope', request.scope)
  return oidc.buildAuthorizationUrl(configuration, signed)
}

async function parametersOf(
  { redirectUri, scope, state, nonce, codeVerifier, parameters }: ScopedRequest,
  key: DpopKey | undefined,
  { responseMode }: RequestOptions,
): Promise<URLSearchParams> {
  const all = new URLSearchParams(parameters)
  all.set('redirect_uri', redirectUri.href)
  all.set('scope', scope)
  all.set('state', state)
  all.set('nonce', nonce)
  all.set('code_challenge', await oidc.calculatePKCECodeChallenge(codeVerifier))
  all.set('code_challenge_method', 'S256')
  // @see https://www.rfc-editor.org/rfc/rfc9449#section-10
  if (key) all.set('dpop_jkt', await thumbprint(key))
  // The default of the code flow.
  if (responseMode !== 'query') all.set('response_mode', responseMode)
  return all
}

/**
 * Whether requests are pushed. An issuer that only offers it may decline them for this client, and a `request_uri` is for
 * one use: a user who reloads the login page may have to start again. So by default only where it is required.
 * @see https://www.rfc-editor.org/rfc/rfc9126#section-5
 */
function pushes({ par }: RequestOptions, server: ServerMetadata): boolean {
  return par === 'always' || (par === 'auto' && server.require_pushed_authorization_requests === true)
}

/** Whether requests are signed. @see https://www.rfc-editor.org/rfc/rfc9101#section-10.5 */
export function signsRequests({ requestObject }: RequestOptions, server: ServerMetadata): boolean {
  const { require_signed_request_object: isRequired } = server
  return requestObject === 'always' || (requestObject === 'auto' && isRequired === true)
}

/** @returns `request` and `client_id` only */
async function signedParameters(
  configuration: oidc.Configuration,
  parameters: URLSearchParams,
  { key, header }: SigningKey,
): Promise<URLSearchParams> {
  const url = await oidc.buildAuthorizationUrlWithJAR(configuration, parameters, key, {
    [oidc.modifyAssertion](objectHeader, claims) {
      Object.assign(objectHeader, header)
      claims['nbf'] = Number(claims['nbf']) - backdatedSeconds
    },
  })
  const { searchParams } = url
  return new URLSearchParams({
    client_id: searchParams.get('client_id') ?? '',
    request: searchParams.get('request') ?? '',
  })
}

/**
 * The `prompt` with which an issuer asks a user who is signed in there to sign in again. Google knows no `login`.
 * @see https://openid.net/specs/openid-connect-prompt-create-1_0.html for `prompt_values_supported`
 */
export function loginPrompt(
  issuer: URL,
  configuration: oidc.Configuration | undefined,
): 'login' | 'select_account' {
  const supported = configuration?.serverMetadata()['prompt_values_supported']
  const isUnknown = Array.isArray(supported)
    ? !supported.includes('login')
    : issuer.hostname === 'accounts.google.com'
  return isUnknown ? 'select_account' : 'login'
}

/**
 * The scopes to ask for if none are configured. Without `offline_access`, some issuers give no refresh token; others
 * refuse the unknown scope, so it is asked for only where the metadata list it.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess
 */
export function defaultScope({ scopes_supported: supported }: ServerMetadata): string {
  const offline = Array.isArray(supported) && supported.includes('offline_access')
  return `openid profile email${offline ? ' offline_access' : ''}`
}
