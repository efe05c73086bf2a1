import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { fingerprint, type GrantEvent } from '../../demo/issuer/events.ts'
import { type DemoIssuer, type IssuerOptions, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { freePort } from '../support/free-port.ts'
import type { Fault, TokenAnswer } from './faults.ts'

/**
 * The demo's issuer, strict about rotation and reuse, with a layer in front of its token endpoint that can misbehave,
 * for each login in a different way.
 */
export interface UnrulyIssuer extends DemoIssuer {
  /** Oldest first. */
  lineages: Lineage[]
  /** From now on connections to the token endpoint are refused, and open ones are broken. */
  goDown(): Promise<void>
  comeBack(): Promise<void>
  /** Tries a refresh token, which spends it. */
  takes(refreshToken: string): Promise<boolean>
}

/** All refresh tokens that descend from one login, and the requests with them. */
export interface Lineage {
  /** Issued refresh tokens, newest last. */
  tokens: string[]
  newest(): string
  /** Undefined: no fault. */
  fault: Fault | undefined
  /** Times of refresh requests, in milliseconds since the epoch, whether or not they led to a grant. */
  requestedAt: number[]
  /** The issuer's outcomes of the requests that reached it. */
  grants(): GrantEvent[]
}

export async function startUnrulyIssuer(options: IssuerOptions): Promise<UnrulyIssuer> {
  const issuer = await startIssuer(options)
  const lineages: Lineage[] = []
  const front = createServer(answerToken)
  const port = await listen(front, await freePort())
  announceTokenEndpoint(issuer, `http://127.0.0.1:${port}/token`)

  return {
    ...issuer,
    lineages,
    goDown: () => stop(front),
    async comeBack() {
      await listen(front, port)
    },
    async takes(refreshToken) {
      const credentials = Buffer.from(`${issuer.clientId}:${issuer.clientSecret}`).toString('base64')
      const answer = await fetch(`${issuer.issuer}/token`, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
        headers: { authorization: `Basic ${credentials}` },
      })
      return answer.ok
    },
    async close() {
      await stop(front)
      await issuer.close()
    },
  }

  async function answerToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request))
    const lineage = lineages.find(({ tokens }) => tokens.includes(form.get('refresh_token') ?? ''))
    lineage?.requestedAt.push(Date.now())
    const forward = (refreshToken?: string) => ask(request, form, lineage, refreshToken)
    const answer = lineage?.fault ? await lineage.fault({ lineage, forward }) : await forward()
    if (!answer) response.destroy()
    else response.writeHead(answer.status, answer.headers).end(answer.body, answer.sent)
  }

  /** Lets the issuer itself answer. */
  async function ask(
    { headers }: IncomingMessage,
    form: URLSearchParams,
    lineage: Lineage | undefined,
    refreshToken?: string,
  ): Promise<TokenAnswer> {
    const body = new URLSearchParams(form)
    if (refreshToken !== undefined) body.set('refresh_token', refreshToken)
    const { authorization } = headers
    const answer = await fetch(`${issuer.issuer}/token`, {
      method: 'POST',
      body,
      ...(authorization !== undefined && { headers: { authorization } }),
    })
    const json = await answer.text()
    const { refresh_token: issued } = JSON.parse(json) as { refresh_token?: string }
    if (issued !== undefined) {
      if (lineage) lineage.tokens.push(issued)
      else lineages.push(createLineage(issuer, issued))
    }
    const contentType = answer.headers.get('content-type') ?? ''
    return { status: answer.status, headers: { 'content-type': contentType }, body: json }
  }
}

function createLineage({ events }: DemoIssuer, firstToken: string): Lineage {
  const tokens = [firstToken]
  return {
    tokens,
    newest: () => tokens.at(-1) ?? firstToken,
    fault: undefined,
    requestedAt: [],
    grants() {
      const hashes = new Set(tokens.map(fingerprint))
      return events.refreshGrants().filter(({ refreshTokenHash = '' }) => hashes.has(refreshTokenHash))
    },
  }
}

function announceTokenEndpoint({ provider }: DemoIssuer, url: string): void {
  provider.use(async (ctx, next) => {
    await next()
    if (ctx.path !== '/.well-known/openid-configuration') return
    ctx.body = { ...(ctx.body as object), token_endpoint: url }
  })
}
