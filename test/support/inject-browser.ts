import assert from 'node:assert/strict'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { CookieJar } from '../../demo/http-browser/cookie-jar.ts'
import { formOf } from '../../demo/http-browser/form.ts'
import { createHttpBrowser } from '../../demo/http-browser.ts'

/** A minimal browser for signing in at a gateway without a socket. Paths include the base path. */
export interface InjectBrowser {
  /** Cookies of the gateway, without the issuer's. */
  cookies: CookieJar
  /** A navigation, by default one that the user began by typing the address. Redirects are not followed. */
  open(path: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  /** What a script of the frontend sends, CSRF header included. */
  call(path: string, options?: InjectOptions): Promise<LightMyRequestResponse>
  /** @returns where the gateway sends the browser */
  beginLogin(query?: Record<string, string>): Promise<URL>
  /** Signs a user in at the issuer, `alice` by default. @returns the path of the callback, with its query */
  authorize(authorizationUrl: URL, form?: Record<string, string>): Promise<string>
  /** The same at an issuer that answers by a form. @returns the callback's path, and the form's fields */
  authorizeByForm(authorizationUrl: URL): Promise<{ path: string; body: URLSearchParams }>
  /** What a form posts; by default one on another site's page. */
  post(path: string, body: URLSearchParams, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  /** A whole login. @param headers of the callback. @returns the answer to the callback */
  signIn(user?: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>
}

interface Target {
  app: FastifyInstance
  publicUrl: URL
  path(path: string): string
}

export function createInjectBrowser({ app, publicUrl, path }: Target): InjectBrowser {
  const cookies = new CookieJar()
  const atIssuer = createHttpBrowser()

  async function send(url: string, options: InjectOptions): Promise<LightMyRequestResponse> {
    const cookie = cookies.headerFor(new URL(url, publicUrl))
    const headers = { host: publicUrl.host, ...(cookie && { cookie }), ...options.headers }
    const response = await app.inject({ ...options, url, headers })
    cookies.store(new URL(url, publicUrl), setCookies(response))
    return response
  }

  /** Until the issuer sends the browser back. */
  async function atTheIssuer(
    authorizationUrl: URL,
    form: Record<string, string> = { username: 'alice', password: 'alice' },
  ): Promise<{ path: string; body?: URLSearchParams }> {
    let answer = await atIssuer.fetch(authorizationUrl)
    for (let steps = 0; steps < 10; steps++) {
      const location = answer.headers.get('location')
      if (location === null) {
        const page = formOf(answer.body)
        assert.ok(page, `The issuer answered ${answer.status}: ${answer.body}`)
        const action = new URL(page.action, answer.url)
        if (action.origin === publicUrl.origin)
          return { path: action.pathname, body: new URLSearchParams(page.hidden) }
        const body = new URLSearchParams({ ...page.hidden, ...form })
        answer = await atIssuer.fetch(action, { method: 'POST', body })
        continue
      }
      const next = new URL(location, answer.url)
      if (next.origin === publicUrl.origin) return { path: next.pathname + next.search }
      answer = await atIssuer.fetch(next)
    }
    return assert.fail('The issuer does not send the browser back')
  }

  const browser: InjectBrowser = {
    cookies,

    open: (url, headers = {}) =>
      send(url, { headers: { accept: 'text/html', 'sec-fetch-site': 'none', ...headers } }),

    call: (url, options = {}) =>
      send(url, {
        ...options,
        headers: { accept: '*/*', 'sec-fetch-site': 'same-origin', 'x-csrf': '1', ...options.headers },
      }),

    async beginLogin(query = {}) {
      const response = await browser.open(path(`/bff/login?${new URLSearchParams(query)}`))
      assert.equal(response.statusCode, 302, response.body)
      return new URL(locationOf(response))
    },

    async authorize(authorizationUrl, form) {
      const { path, body } = await atTheIssuer(authorizationUrl, form)
      assert.equal(body, undefined, 'The issuer answers by a form')
      return path
    },

    async authorizeByForm(authorizationUrl) {
      const { path, body } = await atTheIssuer(authorizationUrl)
      assert.ok(body, 'The issuer does not answer by a form')
      return { path, body }
    },

    post: (url, body, headers = {}) =>
      send(url, {
        method: 'POST',
        payload: body.toString(),
        headers: {
          accept: 'text/html',
          'content-type': 'application/x-www-form-urlencoded',
          'sec-fetch-site': 'cross-site',
          'sec-fetch-mode': 'navigate',
          ...headers,
        },
      }),

    async signIn(user = 'alice', headers = {}) {
      const callback = await browser.authorize(await browser.beginLogin(), { username: user, password: user })
      return browser.open(callback, { 'sec-fetch-site': 'cross-site', ...headers })
    },
  }
  return browser
}

/** The values of all `Set-Cookie` headers. */
export function setCookies({ headers }: LightMyRequestResponse): string[] {
  return [headers['set-cookie'] ?? []].flat()
}

export function locationOf({ headers }: LightMyRequestResponse): string {
  return String(headers['location'])
}
