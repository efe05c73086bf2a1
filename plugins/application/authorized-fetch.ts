import { Agent, fetch, Headers, type RequestInit as UndiciInit } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { tokenTarget } from '../issuer/token-set.ts'
import { keepNonce, type SentToken, tokenHeaders } from '../tokens/token-headers.ts'
import type { WantedToken } from '../tokens/user-tokens.ts'
import { createRemedies } from '../upstream/remedy.ts'
import { upstreamError } from '../upstream/report.ts'
import { tlsOptions } from '../upstream/upstream-client.ts'
import { destinationOf } from './upstream-of.ts'

/** As for `fetch`. Redirects are not followed, so that the token goes to the upstream only. */
export interface AuthorizedInit extends Pick<RequestInit, 'method' | 'headers' | 'signal'> {
  /** A stream can be sent only once, so such a request is not repeated after a 401. */
  body?: string | Uint8Array | URLSearchParams | Blob | ReadableStream | null
}

/** @returns an access token; with `forceRenewal`, a newer one if possible */
export type AskForToken = (wanted: WantedToken) => Promise<SentToken>

export interface AuthorizedFetch {
  fetch(url: string | URL, init: AuthorizedInit, token: AskForToken): Promise<Response>
  close(): Promise<void>
}

/** `fetch` with the user's token, for upstreams only. Repeats requests after a 401 as the proxy does. */
export function createAuthorizedFetch(upstreams: UpstreamOptions[]): AuthorizedFetch {
  const agents = new Map<UpstreamOptions, Agent>()

  return {
    async fetch(wanted, init, token) {
      const { upstream, url } = destinationOf(wanted, upstreams)
      const target = tokenTarget(upstream)
      const remedyFor = createRemedies()
      let current = await token({ target })
      for (;;) {
        const answer = await send(upstream, url, init, current)
        if (answer.status !== 401 || !isRepeatable(init.body)) return answer
        const remedy = remedyFor(current, Object.fromEntries(answer.headers))
        if (remedy === undefined) return answer
        if (remedy === 'token') {
          const newer = await token({ target, forceRenewal: true }).catch(async (error: unknown) => {
            await answer.body?.cancel()
            throw error
          })
          if (newer.value === current.value) return answer
          current = newer
        }
        await answer.body?.cancel()
      }
    },
    async close() {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()))
    },
  }

  async function send(
    upstream: UpstreamOptions,
    url: URL,
    init: AuthorizedInit,
    token: SentToken,
  ): Promise<Response> {
    const headers = new Headers(init.headers as UndiciInit['headers'])
    const { method = 'GET', body = null, signal = null } = init
    const { href: server } = upstream.target
    const authorization = tokenHeaders(token, { method: methodSent(method), url: url.href, server })
    // One of the application's own would not fit the token.
    headers.delete('dpop')
    for (const [name, value] of Object.entries(authorization)) headers.set(name, value)
    const dispatcher = agentOf(upstream)
    try {
      const options = { method, headers, body, signal, dispatcher, redirect: 'manual', duplex: 'half' }
      // undici declares a `Response` of its own, with the same members as the global one.
      const answer = (await fetch(url, options as UndiciInit)) as unknown as Response
      keepNonce(token, server, answer.headers.get('dpop-nonce') ?? undefined)
      return answer
    } catch (error) {
      if (signal?.aborted) throw error
      throw upstreamError((error as Error).cause ?? error)
    }
  }

  function agentOf(upstream: UpstreamOptions): Agent {
    const agent = agents.get(upstream) ?? newAgent(upstream)
    agents.set(upstream, agent)
    return agent
  }
}

function newAgent(upstream: UpstreamOptions): Agent {
  return new Agent({
    // The fixes of plugins/upstream/http2.ts are for the proxy's connections only.
    allowH2: false,
    connect: { timeout: upstream.connectTimeoutMs, ...tlsOptions(upstream) },
    headersTimeout: upstream.timeoutMs,
    bodyTimeout: 0,
  })
}

/** `fetch` sends these in upper case, and others as they are. */
function methodSent(method: string): string {
  return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method
}

/** A stream can be read only once. */
function isRepeatable(body: AuthorizedInit['body']): boolean {
  return !(body instanceof ReadableStream)
}
