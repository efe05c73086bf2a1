/** A session as the administrator's API lists it. */
export interface Listed {
  id: string
  createdAt: string | null
  lastUsedAt: string | null
  userAgent: string | null
  address: string | null
  bound: boolean
  frontend?: string
}

/** The API could not be reached, or refused. The message says why. */
export class AdminApiError extends Error {}

/** The administrator's API of a running gateway. Its methods throw {@link AdminApiError}. */
export class AdminApi {
  readonly #url: URL
  readonly #token: string

  constructor(url: URL, token: string) {
    this.#url = url
    this.#token = token
  }

  list(user: Record<string, string>): Promise<Listed[]> {
    return this.#call('GET', `sessions?${new URLSearchParams(user)}`)
  }

  endUser(user: Record<string, string>): Promise<{ ended: number }> {
    return this.#call('DELETE', `sessions?${new URLSearchParams(user)}`)
  }

  endOne(id: string): Promise<void> {
    return this.#call('DELETE', `sessions/${encodeURIComponent(id)}`)
  }

  endAll(): Promise<{ ended: number }> {
    return this.#call('POST', 'sessions/end-all', { confirm: true })
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const url = new URL(path, `${this.#url.href.replace(/\/$/, '')}/`)
    const headers = {
      authorization: `Bearer ${this.#token}`,
      ...(body && { 'content-type': 'application/json' }),
    }
    const answer = await fetch(url, {
      method,
      headers,
      redirect: 'error',
      ...(body && { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new AdminApiError(`The administrator's API can't be reached at ${url.origin}${reasonOf(cause)}`, {
        cause,
      })
    })
    const text = await answer.text()
    if (answer.ok) return (text === '' ? undefined : JSON.parse(text)) as T
    throw new AdminApiError(`The administrator's API answered ${answer.status}${detailsOf(text)}`)
  }
}

function reasonOf(error: unknown): string {
  const { cause } = error instanceof Error ? error : {}
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  return code ? ` (${code})` : ''
}

function detailsOf(text: string): string {
  try {
    const { code, details } = JSON.parse(text)
    return `: ${code}, ${details}`
  } catch {
    return ''
  }
}
