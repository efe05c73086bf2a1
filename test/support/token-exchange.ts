import { calculateJwkThumbprint, createRemoteJWKSet, EmbeddedJWK, jwtVerify } from 'jose'
import { errors, type TokenEndpointGrantContext } from 'oidc-provider'
import type { DemoIssuer } from '../../demo/issuer.ts'

export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

interface ExchangeParameters {
  subject_token?: string
  subject_token_type?: string
  audience?: string
}

/**
 * Makes the issuer support token exchange for another API's tokens. Its gateways' client must be
 * registered with the grant type. With a proof the new token is bound to its key.
 * @see https://www.rfc-editor.org/rfc/rfc8693
 */
export function offerTokenExchange({ provider, issuer }: DemoIssuer): void {
  const keys = createRemoteJWKSet(new URL('/jwks', issuer))

  provider.registerGrantType<ExchangeParameters>(
    tokenExchange,
    async (ctx: TokenEndpointGrantContext<ExchangeParameters>) => {
      const { client, params } = ctx.oidc
      const { subject_token: subjectToken, audience } = params
      if (params.subject_token_type !== 'urn:ietf:params:oauth:token-type:access_token' || !subjectToken) {
        throw new errors.InvalidRequest('an access token is needed')
      }
      if (!audience) throw new errors.InvalidTarget()
      const { payload } = await jwtVerify(subjectToken, keys, { issuer }).catch(() => {
        throw new errors.InvalidGrant('the subject token is not valid')
      })
      const token = new provider.AccessToken({
        accountId: payload.sub ?? '',
        client,
        scope: 'time:read',
      } as never)
      token.resourceServer = new provider.ResourceServer(audience, {
        scope: 'time:read',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 30,
        jwt: { sign: { alg: 'ES256' } },
      })
      const proof = ctx.get('dpop')
      if (proof !== '') {
        const { protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt' })
        token.jkt = await calculateJwkThumbprint(protectedHeader.jwk ?? {})
      }
      ctx.body = {
        access_token: await token.save(),
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: token.tokenType,
        expires_in: token.expiration,
      }
    },
    ['subject_token', 'subject_token_type', 'audience', 'scope', 'resource'],
  )
}
