import { z } from 'zod'
import { duration, facts, parsed } from './option.ts'
import { line, path, scope, signatureAlgorithm } from './parsers.ts'
import { type RuleFault, ruleBetween } from './rule-between.ts'
import { authorizationParameters, baseUrl, formatUrl, httpUrl, isPlainHttp, logoutUrl, url } from './urls.ts'

/** Names of RFC 7591, as in `token_endpoint_auth_methods_supported`. */
const clientAuthenticationNames = [
  'client_secret_basic',
  'client_secret_post',
  'client_secret_jwt',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'none',
] as const

export type ClientAuthenticationName = (typeof clientAuthenticationNames)[number]

const responseModes = ['query', 'form_post', 'jwt', 'form_post.jwt'] as const
export type ResponseMode = (typeof responseModes)[number]

const whenToUse = ['auto', 'always', 'never'] as const
const whenMessage = `must be one of ${whenToUse.join(', ')}`

const shape = {
  issuer: url(httpUrl('https://login.example.com', { insecure: true })).register(facts, {
    env: 'OIDC_ISSUER',
    missing: "set it to the issuer's URL, such as https://login.example.com",
    meaning:
      'Issuer URL; discovery is lazy and retried: an issuer that is down does not stop the start. Plain http on loopback hosts only, unless `{oidc.insecure}` is set',
  }),
  internalUrl: url(baseUrl('https://keycloak.internal:8443', { insecure: true }))
    .optional()
    .register(facts, {
      env: 'OIDC_INTERNAL_URL',
      meaning:
        "The issuer's address as the gateway reaches it, if that is another than the browser's: its metadata, keys, tokens and UserInfo are fetched there. `iss` and the URLs that browsers are sent to keep the origin of `{oidc.issuer}`",
    }),
  insecure: z.boolean('must be one of true, false').prefault(false).register(facts, {
    env: 'OIDC_INSECURE',
    meaning:
      '`true`: plain http towards the issuer is accepted on hosts other than loopback, for an issuer inside a network that you trust',
  }),
  clientId: parsed(line).register(facts, {
    env: 'OIDC_CLIENT_ID',
    missing: 'set it to the client identifier that the issuer knows the gateway by',
    meaning: 'Client identifier registered with the issuer',
  }),
  clientSecret: parsed(line).optional().register(facts, {
    env: 'OIDC_CLIENT_SECRET',
    secret: true,
    meaning:
      'Client secret: `client_secret_basic`, or `client_secret_post` when the issuer supports only that. Without a secret, key or certificate the gateway is a public client, which is not for production',
  }),
  clientAuth: z
    .enum(clientAuthenticationNames, `must be one of ${clientAuthenticationNames.join(', ')}`)
    .optional()
    .register(facts, {
      env: 'OIDC_CLIENT_AUTH',
      defaultText: 'by what is set and what the issuer offers',
      meaning: `Client authentication: ${choice(clientAuthenticationNames)}. See [Issuers](docs/issuers.md#client-authentication)`,
    }),
  clientPrivateKeyFile: parsed(path).optional().register(facts, {
    env: 'OIDC_CLIENT_PRIVATE_KEY_FILE',
    file: 'path',
    meaning: 'JWK (or JWKS, or PEM) file with the private key for `private_key_jwt`, instead of a secret',
  }),
  clientCertFile: parsed(path).optional().register(facts, {
    env: 'OIDC_CLIENT_CERT_FILE',
    file: 'path',
    meaning:
      'PEM file with a client certificate towards the issuer: `tls_client_auth`, `self_signed_tls_client_auth`, and tokens that are bound to the certificate (RFC 8705). Read again each hour',
  }),
  clientKeyFile: parsed(path).optional().register(facts, {
    env: 'OIDC_CLIENT_KEY_FILE',
    file: 'path',
    meaning: "PEM file with the client certificate's private key, not encrypted",
  }),
  clientAssertionAudience: parsed(line).optional().register(facts, {
    env: 'OIDC_CLIENT_ASSERTION_AUDIENCE',
    defaultText: '`issuer`',
    meaning:
      'Audience of the assertions of `private_key_jwt` and `client_secret_jwt`: `issuer`, `token_endpoint`, or the audience itself. Entra ID and Okta need `token_endpoint`',
  }),
  idTokenAlg: parsed(signatureAlgorithm).optional().register(facts, {
    env: 'OIDC_ID_TOKEN_ALG',
    defaultText: "metadata's asymmetric ones",
    meaning:
      'The algorithm that ID tokens and logout tokens must be signed with, such as `RS256`. `HS256`, `HS384` and `HS512` are with `{oidc.clientSecret}`',
  }),
  decryptionKeyFile: parsed(path).optional().register(facts, {
    env: 'OIDC_DECRYPTION_KEY_FILE',
    file: 'path',
    meaning:
      'JWK, JWKS or PEM file with the private key for encrypted ID tokens, logout tokens, UserInfo and authorization responses: RSA for `RSA-OAEP-256`, EC or X25519 for `ECDH-ES`. Read again each hour',
  }),
  clockTolerance: duration('0s', '10m').prefault('30s').register(facts, {
    env: 'OIDC_CLOCK_TOLERANCE',
    meaning:
      "Accepted difference between the issuer's clock and the gateway's, for `exp`, `nbf`, `iat` and `auth_time`",
  }),
  scope: parsed(scope, { written: z.union([z.string(), z.array(z.string())]), separator: ' ' })
    .optional()
    .register(facts, {
      env: 'OIDC_SCOPE',
      defaultText: "`openid profile email`, and `offline_access` where the issuer's metadata list it",
      meaning: 'Scopes to request, separated by spaces; `openid` must be among them',
    }),
  authorizationParams: parsed(authorizationParameters, {
    written: z.union([z.string(), z.array(z.string()), z.instanceof(URLSearchParams)]),
    separator: '&',
  })
    .prefault('')
    .register(facts, {
      env: 'OIDC_AUTHORIZATION_PARAMS',
      meaning: 'Extra authorization parameters as a query string: `prompt=consent&acr_values=…&resource=…`',
    }),
  dpop: z.boolean('must be one of true, false').prefault(false).register(facts, {
    env: 'OIDC_DPOP',
    meaning:
      '`true`: tokens are bound to a key of the session (DPoP, RFC 9449), towards the issuer and every API. See [Issuers](docs/issuers.md#dpop)',
  }),
  par: z.enum(whenToUse, whenMessage).prefault('auto').register(facts, {
    env: 'OIDC_PAR',
    meaning:
      'Pushed authorization requests (RFC 9126): `auto` when the metadata demand them; `always`; `never`. Some issuers demand them of a client without saying so in the metadata',
  }),
  requestObject: z.enum(whenToUse, whenMessage).prefault('auto').register(facts, {
    env: 'OIDC_REQUEST_OBJECT',
    meaning:
      'Authorization requests signed with `{oidc.clientPrivateKeyFile}` (JAR, RFC 9101): `auto` when the metadata demand them; `always`; `never`',
  }),
  responseMode: z
    .enum(responseModes, `must be one of ${responseModes.join(', ')}`)
    .prefault('query')
    .register(facts, {
      env: 'OIDC_RESPONSE_MODE',
      meaning:
        'How the authorization response comes: `query` in the URL, `form_post` as a form, `jwt` and `form_post.jwt` signed by the issuer (JARM). See [Issuers](docs/issuers.md#authorization-requests-and-responses)',
    }),
  issParameter: z
    .enum(['auto', 'optional'], 'must be one of auto, optional')
    .prefault('auto')
    .register(facts, {
      env: 'OIDC_ISS_PARAMETER',
      meaning:
        "The callback's `iss` (RFC 9207): `auto` demands it where the metadata announce it; `optional` is for issuers that announce it and don't send it",
    }),
  logoutUrl: parsed(logoutUrl).optional().register(facts, {
    env: 'OIDC_LOGOUT_URL',
    meaning:
      "Where the browser logs out, instead of the metadata's end session endpoint: a URL in which `{client_id}` and `{return_url}` are filled in. For Cognito and old Auth0 tenants, see [Issuers](docs/issuers.md#logout)",
  }),
  userinfo: z.boolean('must be one of true, false').prefault(true).register(facts, {
    env: 'OIDC_USERINFO',
    meaning:
      "`false`: the ID token's claims are enough, UserInfo is not called. For issuers whose access tokens are for one API only, and refused at UserInfo",
  }),
  timeout: duration('100ms', '2m').prefault('5s').register(facts, {
    env: 'OIDC_TIMEOUT',
    meaning:
      'How long a request waits for the issuer (the answer to a token grant is awaited for 2.5 times as long)',
  }),
}

/** The issuer, and the gateway's registration there. */
export const oidc = z.strictObject(shape).check(
  ruleBetween<Oidc>(['issuer', 'insecure'], ({ issuer, insecure }) => plainHttpFaults({ issuer }, insecure)),
  ruleBetween<Oidc>(['internalUrl', 'insecure'], ({ internalUrl, insecure }) =>
    plainHttpFaults({ internalUrl }, insecure),
  ),
)

type Oidc = z.output<z.ZodObject<typeof shape>>

function plainHttpFaults(urls: Record<string, URL | undefined>, insecure: boolean): RuleFault[] {
  return Object.entries(urls).map(([name, url]) => {
    if (insecure || !url || !isPlainHttp(url)) return undefined
    const message =
      'must begin with https:// (http:// is for localhost only, or in a network that you trust with {oidc.insecure})'
    return [[name], `${message} (it is "${formatUrl(url)}")`]
  })
}

/** In Markdown: `` `a`, `b` or `c` ``. */
function choice(names: readonly string[]): string {
  const quoted = names.map((name) => `\`${name}\``)
  return `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`
}
