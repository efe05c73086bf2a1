import type { HttpBrowser } from '../../demo/http-browser.ts'
import type { DemoIssuer } from '../../demo/issuer.ts'

/** All secrets used so far, by name, as issuer and browser saw them. None may be logged. */
export interface Secrets {
  /** The last value of a parameter that the issuer saw, such as `refresh_token`. */
  last(name: string): string
  all(): Map<string, string>
}

const secretParameters = [
  'code',
  'code_verifier',
  'refresh_token',
  'token',
  'state',
  'nonce',
  'id_token_hint',
]
const secretAnswers = ['access_token', 'refresh_token', 'id_token']

export function collectSecrets(issuer: DemoIssuer, browser: HttpBrowser): Secrets {
  const seen = new Map<string, string>([[issuer.clientSecret, 'client secret']])
  const note = (names: string[], values: object | undefined) => {
    for (const [name, value] of Object.entries(values ?? {}))
      if (names.includes(name) && typeof value === 'string') seen.set(value, name)
  }
  issuer.provider.use(async (ctx, next) => {
    await next()
    note(secretParameters, ctx['oidc']?.params)
    note(secretAnswers, ctx.body as object | undefined)
    const basic = /^Basic (.+)$/.exec(ctx.get('authorization'))?.[1]
    if (basic !== undefined) seen.set(basic, 'client authentication')
  })

  return {
    last: (name) => [...seen].findLast(([, kind]) => kind === name)?.[0] ?? '',

    all() {
      for (const { headers, url } of browser.answers) {
        for (const cookie of headers.getSetCookie()) {
          const [name = '', value = ''] = (cookie.split(';', 1)[0] ?? '').split(/=(.*)/s)
          if (value !== '') seen.set(value, name).set(decodeURIComponent(value), name)
        }
        for (const address of [url, headers.get('location')])
          if (address) note(secretParameters, Object.fromEntries(new URL(address, url).searchParams))
      }
      return seen
    },
  }
}
