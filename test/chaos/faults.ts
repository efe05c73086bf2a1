import type { Lineage } from './unruly-issuer.ts'

export interface TokenAnswer {
  status: number
  headers: Record<string, string>
  body: string
  /** Called when it has been sent. */
  sent?: () => void
}

/** Handles a refresh token grant. Undefined: the connection breaks without an answer. */
export type Fault = (exchange: Exchange) => Promise<TokenAnswer | undefined>

export interface Exchange {
  lineage: Lineage
  /** Lets the issuer itself answer; from then on the refresh token is spent. */
  forward(refreshToken?: string): Promise<TokenAnswer>
}

/** Accepts the request, and never answers. */
export const hang: Fault = () => new Promise(() => {})

/** Breaks the connection before the issuer has seen the request. */
export const breakConnection: Fault = async () => undefined

/** Spends the refresh token, and loses the answer. */
export const loseAnswer: Fault = async ({ forward }) => {
  await forward()
  return undefined
}

/** Answers in the issuer's place, so that the refresh token is not spent. */
export function answerWith(
  status: number,
  body: object | string,
  headers: Record<string, string> = {},
): Fault {
  const json = typeof body === 'object'
  const answer = {
    status,
    headers: { 'content-type': json ? 'application/json' : 'text/html', ...headers },
    body: json ? JSON.stringify(body) : body,
  }
  return async () => answer
}

/** An issuer without reuse detection: any token of the lineage counts as its newest. */
export const allowReuse = ({ forward, lineage }: Exchange): Promise<TokenAnswer> => forward(lineage.newest())

/** An issuer without rotation, which sends no new refresh token. */
export const omitRefreshToken: Fault = async (exchange) =>
  without(await allowReuse(exchange), 'refresh_token')

export const omitIdToken: Fault = async ({ forward }) => without(await forward(), 'id_token')

/** The ID token has another user. */
export function foreignIdentity(claims: { sub?: string; iss?: string }): Fault {
  return async ({ forward }) =>
    changed(await forward(), (answer) => {
      const [header, payload, signature] = String(answer['id_token']).split('.')
      const own = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as object
      const foreign = Buffer.from(JSON.stringify({ ...own, ...claims })).toString('base64url')
      return { ...answer, id_token: `${header}.${foreign}.${signature}` }
    })
}

export interface Held {
  fault: Fault
  /** Resolves when the first request is held. */
  reached: Promise<void>
  /** Lets it and all later ones go on. Resolves when the answer has been sent, if there is one. */
  release(): Promise<void>
  /** Breaks its connection. */
  lose(): void
}

/**
 * Holds the request before the issuer gets it, or the answer after the refresh token is spent.
 * @param then handles the request after its release. Default: the issuer answers it
 */
export function hold(what: 'request' | 'answer', then: Fault = ({ forward }) => forward()): Held {
  const reached = Promise.withResolvers<void>()
  const sent = Promise.withResolvers<void>()
  const released = Promise.withResolvers<'go on' | 'break'>()
  return {
    async fault(exchange) {
      const early = what === 'answer' ? await then(exchange) : undefined
      reached.resolve()
      if ((await released.promise) === 'break') return undefined
      const answer = what === 'answer' ? early : await then(exchange)
      return answer && { ...answer, sent: sent.resolve }
    },
    reached: reached.promise,
    release() {
      released.resolve('go on')
      return sent.promise
    },
    lose: () => released.resolve('break'),
  }
}

function without(answer: TokenAnswer, member: string): TokenAnswer {
  return changed(answer, ({ [member]: _, ...rest }) => rest)
}

function changed(
  answer: TokenAnswer,
  change: (body: Record<string, unknown>) => Record<string, unknown>,
): TokenAnswer {
  if (answer.status !== 200) return answer
  return { ...answer, body: JSON.stringify(change(JSON.parse(answer.body))) }
}
