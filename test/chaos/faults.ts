import type { Lineage } from './unruly-issuer.ts'

export interface TokenAnswer {
  status: number
  headers: Record<string, string>
  body: string
  /** Called when it is on its way. */
  sent?: () => void
}

/** What becomes of a refresh token grant. Nothing: the connection breaks without an answer. */
export type Fault = (exchange: Exchange) => Promise<TokenAnswer | undefined>

export interface Exchange {
  lineage: Lineage
  /** Lets the issuer itself answer; from then on the refresh token is spent. */
  forward(refreshToken?: string): Promise<TokenAnswer>
}

/** Accepts the request, and that is the last that is heard of it. */
export const hang: Fault = () => new Promise(() => {})

/** Breaks the connection before the issuer has seen the request. */
export const breakConnection: Fault = async () => undefined

/** Spends the refresh token, and the answer gets lost. */
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

/** An issuer that forgives reuse: whatever token of the lineage comes counts as its newest. */
export const forgive = ({ forward, lineage }: Exchange): Promise<TokenAnswer> => forward(lineage.newest())

/** An issuer that does not rotate, as many do, and so has no new refresh token to send. */
export const omitRefreshToken: Fault = async (exchange) => without(await forgive(exchange), 'refresh_token')

export const omitIdToken: Fault = async ({ forward }) => without(await forward(), 'id_token')

/** The ID token speaks of somebody else. */
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
  /** Lets it go on, and all that come later. Resolves when the answer is on its way, if there is one. */
  release(): Promise<void>
  /** Breaks its connection. */
  lose(): void
}

/**
 * Holds back the request, before the issuer has seen it, or the answer, when it has spent the refresh token.
 * @param then what becomes of the request when it is let go. Default: the issuer answers it
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
