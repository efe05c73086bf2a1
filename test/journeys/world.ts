import { type Answer, createHttpBrowser, type HttpBrowser } from '../../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { startTimeApi, type TimeApi } from '../../demo/time-api.ts'
import { freePort } from '../support/free-port.ts'
import type { Ending, Gateway } from '../support/gateway.ts'
import { giveUpMs } from '../support/until.ts'

/** Everything that a gateway needs around it. */
export interface World {
  issuer: DemoIssuer
  timeApi: TimeApi
  /** Of the time API. */
  apiUrl: string
  browser: HttpBrowser
}

/** Access tokens live longer than a test does. */
export async function startWorld(t: Ending): Promise<World> {
  const apiAudience = 'urn:time-api'
  const issuer = await startIssuer({ port: await freePort(), apiAudience, accessTokenLifetime: 600 })
  t.after(() => issuer.close())
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience: apiAudience })
  t.after(() => timeApi.close())
  return { issuer, timeApi, apiUrl: timeApi.url, browser: createHttpBrowser({ timeoutMs: giveUpMs }) }
}

/**
 * Makes the issuer's next `grants` claim `seconds` as the access token's lifetime, while the API accepts it for longer:
 * so the test does not depend on the machine's speed.
 */
export function sayExpiresIn(issuer: DemoIssuer, seconds: number, grants = 1): void {
  let said = 0
  issuer.provider.use(async (ctx, next) => {
    await next()
    const body = ctx.body as { expires_in?: number } | undefined
    if (said >= grants || ctx.path !== '/token' || ctx.status !== 200 || body?.expires_in === undefined)
      return
    said++
    body.expires_in = seconds
  })
}

/** Calls like the frontend's script. */
export function call(browser: HttpBrowser, { url }: Gateway, path = '/api/gettime'): Promise<Answer> {
  return browser.fetch(url + path, { headers: { 'x-csrf': '1' } })
}

export interface SessionView {
  isAuthenticated: boolean
  identity: { name: string }
  accessToken: { renewals: number; expiresUtc: string }
  sid: string
}

/** Without keeping the session alive. */
export async function sessionOf(browser: HttpBrowser, gateway: Gateway): Promise<SessionView> {
  return (await call(browser, gateway, '/bff/session?slide=false')).json() as SessionView
}

export async function hasExpired(browser: HttpBrowser, gateway: Gateway): Promise<boolean> {
  const { accessToken } = await sessionOf(browser, gateway)
  return Date.parse(accessToken.expiresUtc) < Date.now()
}

/** The code in an error's body. */
export function codeOf(answer: Answer): string {
  return (answer.json() as { code: string }).code
}
