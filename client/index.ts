import { followSession } from './follow-session.ts'
import { silentLogin } from './silent-login.ts'
import { type BffClient, type BffClientOptions, BffError, type BffSession, type BffUser } from './types.ts'

export * from './types.ts'

/** Longest time that `fetch` waits before it repeats a request, in milliseconds. */
const longestRetryMs = 30_000

/** Calls APIs through the gateway, and tells who is signed in. No token ever reaches the page. */
export function createBffClient({
  url = '',
  csrfHeader = 'x-csrf',
  onLoginRequired,
}: BffClientOptions = {}): BffClient {
  const base = new URL(url.replace(/\/*$/, '/'), location.href)
  const at = (path: string) => new URL(path, base)

  return {
    fetch: call,
    user,
    session,
    sessions: async () => json(await send(at('bff/sessions'))),
    endSession: async (id) => void (await end(`/${id}`)),
    endOtherSessions: async () => (await json<{ ended: number }>(await end(''))).ended,
    silentLogin: ({ timeoutMs = 10_000 } = {}) => silentLogin(at('bff/silent-login'), timeoutMs),
    onSession: followSession((signal) => send(at('bff/events'), { signal }), peek, base.href),

    login({ returnUrl = here() } = {}) {
      location.assign(navigation('bff/login', { returnUrl }))
    },

    async logout({ returnUrl } = {}) {
      const current = await session().catch(() => undefined)
      const sid = current?.isAuthenticated ? current.sid : undefined
      location.assign(navigation('bff/logout', { sid, returnUrl }))
    },
  }

  async function call(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(typeof input === 'string' ? new URL(input, base) : input, init)
    const again = /^(GET|HEAD)$/.test(request.method) ? request.clone() : undefined
    let response = await send(request)
    if (response.status === 503 && again) {
      const waitMs = Number(response.headers.get('retry-after') ?? Number.NaN) * 1000
      if (waitMs >= 0) {
        await pause(Math.min(waitMs, longestRetryMs), request.signal)
        response = await send(again)
      }
    }
    if (response.status === 401 && onLoginRequired) {
      const { loginUrl } = await errorOf(response.clone())
      // Only the gateway may say where to log in, and only at itself: another server could lead to a page of its own.
      const isGateways = new URL(response.url).origin === base.origin
      if (!isGateways || typeof loginUrl !== 'string' || !URL.canParse(loginUrl, base)) return response
      const target = new URL(loginUrl, base)
      if (target.origin === base.origin) onLoginRequired(target.href)
    }
    return response
  }

  /** The header shows that this page sent the request: other sites can't set it. Requests to other origins get none. */
  async function send(input: URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(input, init)
    if (new URL(request.url).origin !== base.origin) return fetch(request)
    request.headers.set(csrfHeader, '1')
    return fetch(new Request(request, { credentials: 'include' }))
  }

  async function user(): Promise<BffUser | null> {
    const response = await send(at('bff/user'))
    if (response.status === 401) return null
    const claims: BffUser['claims'] = await json(response)
    const value = (type: string) => claims.find((claim) => claim.type === type)?.value
    return {
      claims,
      subject: value('sub') ?? '',
      name: value('name'),
      logoutUrl: value('bff:logout_url') ?? '',
      expiresIn: Number(value('bff:session_expires_in')),
    }
  }

  async function end(which: string): Promise<Response> {
    const response = await send(at(`bff/sessions${which}`), { method: 'DELETE' })
    if (!response.ok) throw await errorFrom(response)
    return response
  }

  async function session(): Promise<BffSession> {
    return json(await send(at('bff/session')))
  }

  /** The session, without extending it. */
  async function peek(): Promise<BffSession> {
    return json(await send(at('bff/session?slide=false')))
  }

  /** At another origin than this page's, the gateway needs the whole URL to lead back here. */
  function here(): string {
    return base.origin === location.origin ? location.href.slice(location.origin.length) : location.href
  }

  function navigation(path: string, parameters: Record<string, string | undefined>): URL {
    const target = at(path)
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) target.searchParams.set(name, value)
    return target
  }
}

async function json<T>(response: Response): Promise<T> {
  if (response.ok) return response.json()
  throw await errorFrom(response)
}

async function errorFrom(response: Response): Promise<BffError> {
  return new BffError(response.status, (await errorOf(response)).code)
}

async function errorOf(response: Response): Promise<{ code?: string; loginUrl?: unknown }> {
  return response.json().catch(() => ({}))
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}
