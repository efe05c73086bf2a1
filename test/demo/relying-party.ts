import { createServer } from 'node:http'
import type { TestContext } from 'node:test'
import * as oidc from 'openid-client'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { type IssuerOptions, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'

export const audience = 'urn:test:time-api'

/** An issuer, and a client like the gateway, with a page to which sign-ins and sign-outs return. */
export async function startRelyingParty(t: TestContext, options: IssuerOptions = { apiAudience: audience }) {
  const landing = createServer((_request, response) => response.end('landed'))
  const url = `http://localhost:${await listen(landing, 0)}`
  const issuer = await startIssuer(options)
  issuer.allowGateway(url)
  t.after(async () => {
    await stop(landing)
    await issuer.close()
  })

  const { clientId, clientSecret } = issuer
  const authentication = oidc.ClientSecretBasic(clientSecret)
  const configuration = await oidc.discovery(new URL(issuer.issuer), clientId, {}, authentication, {
    execute: [oidc.allowInsecureRequests],
  })
  oidc.enableNonRepudiationChecks(configuration)
  const browser = createHttpBrowser()
  const codeVerifier = oidc.randomPKCECodeVerifier()

  async function authorizationUrl(parameters: Record<string, string> = {}): Promise<URL> {
    return oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: `${url}/bff/callback`,
      scope: 'openid profile email offline_access time:read',
      code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
      ...parameters,
    })
  }

  async function signIn(user: string) {
    const page = await browser.open(await authorizationUrl())
    const isAsked = page.url.startsWith(issuer.issuer)
    const landed = isAsked ? await browser.submit(page, { username: user, password: user }) : page
    return oidc.authorizationCodeGrant(configuration, new URL(landed.url), { pkceCodeVerifier: codeVerifier })
  }

  return { issuer, url, configuration, browser, authorizationUrl, signIn }
}

/** The refresh token of an answer, which must have one. */
export function refreshTokenOf({ refresh_token: refreshToken }: oidc.TokenEndpointResponse): string {
  if (refreshToken === undefined) throw new TypeError('The issuer sent no refresh token')
  return refreshToken
}
