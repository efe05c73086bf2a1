import { CookieJar } from './http-browser/cookie-jar.ts'
import { formOf } from './http-browser/form.ts'

/** An answer as the browser got it, body included. */
export interface Answer {
  method: string
  url: string
  status: number
  headers: Headers
  body: string
  json(): unknown
}

export interface BrowserRequest {
  method?: string
  headers?: Record<string, string>
  body?: string | URLSearchParams
  signal?: AbortSignal
}

export interface HttpBrowser {
  cookies: CookieJar
  /** Every answer so far, redirects included. */
  answers: Answer[]
  /** Like a script of the same origin: with cookies, without following redirects. */
  fetch(url: string | URL, request?: BrowserRequest): Promise<Answer>
  /** Like a typed address: follows redirects (up to 20) and self-submitting forms. */
  open(url: string | URL, request?: BrowserRequest): Promise<Answer>
  /** Fills in and submits the first form of a page, with its hidden fields. */
  submit(page: Answer, fields: Record<string, string>): Promise<Answer>
  /** Logs in at a gateway whose issuer has a login form with `username` and `password`. @returns the last page */
  signIn(gatewayUrl: string, user: string, password?: string): Promise<Answer>
  /** Gets the logout URL from the gateway, and opens it. @returns the last page */
  signOut(gatewayUrl: string): Promise<Answer>
}

export interface HttpBrowserOptions {
  /** Milliseconds for each request. Default 30 000. */
  timeoutMs?: number
  /** Name of the gateway's CSRF header. */
  csrfHeader?: string
}

/**
 * A minimal browser for signing in: a cookie jar, redirects, forms. No scripts, and no SameSite, as
 * it only opens pages of one site.
 */
export function createHttpBrowser(options: HttpBrowserOptions = {}): HttpBrowser {
  const { timeoutMs = 30_000, csrfHeader = 'x-csrf' } = options
  const cookies = new CookieJar()
  const answers: Answer[] = []

  async function send(url: URL, request: BrowserRequest, site: string): Promise<Answer> {
    const cookie = cookies.headerFor(url)
    const timeout = AbortSignal.timeout(timeoutMs)
    const { method = 'GET', body = null, signal } = request
    const response = await fetch(url, {
      method,
      body,
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { 'sec-fetch-site': site, ...(cookie && { cookie }), ...request.headers },
    })
    cookies.store(url, response.headers.getSetCookie())
    const text = await response.text()
    const { status, headers } = response
    const answer = {
      method,
      url: url.href,
      status,
      headers,
      body: text,
      json: () => JSON.parse(text) as unknown,
    }
    answers.push(answer)
    return answer
  }

  async function navigate(from: URL, request: BrowserRequest, site: string): Promise<Answer> {
    const headers = { accept: 'text/html', ...request.headers }
    let answer = await send(from, { ...request, headers }, site)
    let currentSite = site
    for (let redirects = 0; redirects < 20; redirects++) {
      const next = nextUrl(answer)
      if (!next) return submitsItself(answer) ? submit(answer, {}) : answer
      // After leaving the origin a navigation is same-site instead of same-origin: ports don't matter.
      if (currentSite === 'same-origin' && next.origin !== from.origin) currentSite = 'same-site'
      answer = await send(next, { headers: { accept: headers.accept } }, currentSite)
    }
    throw new Error(`Too many redirects, the last to ${new URL(answer.url).pathname}`)
  }

  async function submit(page: Answer, fields: Record<string, string>): Promise<Answer> {
    const form = formOf(page.body)
    if (!form) throw new Error(`No form on ${new URL(page.url).pathname} (${page.status})`)
    const action = new URL(form.action, page.url)
    const body = new URLSearchParams({ ...form.hidden, ...fields })
    return navigate(action, { method: 'POST', body, headers: { origin: action.origin } }, 'same-origin')
  }

  const browser: HttpBrowser = {
    cookies,
    answers,
    fetch: (url, request = {}) => send(new URL(url), request, 'same-origin'),
    open: (url, request = {}) => navigate(new URL(url), request, 'none'),
    submit,

    async signIn(gatewayUrl, user, password = user) {
      const page = await navigate(new URL(`${gatewayUrl}/bff/login?returnUrl=/`), {}, 'same-origin')
      // No form: the user is still signed in at the issuer.
      return formOf(page.body)?.asksPassword ? submit(page, { username: user, password }) : page
    },

    async signOut(gatewayUrl) {
      const answer = await browser.fetch(`${gatewayUrl}/bff/user`, { headers: { [csrfHeader]: '1' } })
      if (answer.status !== 200) throw new Error(`GET /bff/user answered ${answer.status}`)
      const claims = answer.json() as { type: string; value: unknown }[]
      const logoutUrl = claims.find(({ type }) => type === 'bff:logout_url')?.value
      return navigate(new URL(String(logoutUrl), gatewayUrl), {}, 'same-origin')
    },
  }
  return browser
}

function nextUrl({ status, headers, url }: Answer): URL | undefined {
  const location = headers.get('location')
  return status >= 300 && status < 400 && location !== null ? new URL(location, url) : undefined
}

function submitsItself({ body }: Answer): boolean {
  const form = formOf(body)
  return form !== undefined && !form.asksPassword && Object.keys(form.hidden).length > 0
}
