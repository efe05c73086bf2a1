import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { type ErrorCode, GatewayError } from '../../../plugins/errors/catalogue.ts'
import type { GrantOutcome } from '../../../plugins/issuer/grants.ts'
import type { GrantedTokens, TokenParameters, TokenSet } from '../../../plugins/issuer/token-set.ts'
import { type Metrics, noMetrics } from '../../../plugins/observability/metrics.ts'
import { createEndingReport } from '../../../plugins/session/events/session-events.ts'
import type { Session } from '../../../plugins/session/session.ts'
import { createSessions } from '../../../plugins/session/sessions.ts'
import { createMemoryStore } from '../../../plugins/session-store/memory.ts'
import { type SessionStore, StoreUnavailableError } from '../../../plugins/session-store/store.ts'
import { createUserTokens } from '../../../plugins/tokens/user-tokens.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

/** The defaults of a production gateway. */
export const issuerTimeoutMs = 5_000
export const refreshBeforeExpirationMs = 60_000
/** Lifetime of each access token: long enough for the whole window. */
export const lifetimeMs = 300_000

export const login = {
  issuer: 'https://issuer.example',
  subject: 'alice',
  sid: 'sid',
  claims: { name: 'Alice' },
}

export type Log = { level: string; fields: Record<string, unknown> }[]

/** Gateways on one memory store, an issuer with scripted answers, and a fake clock. */
export function createWorld({ random = 0 } = {}) {
  const clock = createFakeClock()
  const memory = createMemoryStore({ clock })
  const interceptions = new Map<string, Interception>()
  const issuer = createScriptedIssuer()
  const store = interceptable(memory, interceptions)
  const lifetimes = { clientId: 'gateway', idleTimeoutMs: 8 * 3_600_000, lifetimeMs: 7 * 24 * 3_600_000 }
  const sessions = createSessions({ store, clock, ...lifetimes })
  const log: Log = []

  function interceptStore(command: string, interception: Interception): void {
    interceptions.set(command, interception)
  }

  return {
    clock,
    issuer,
    log,
    /** The gateways' log, with levels. */
    logger: {
      trace: (fields: object) => log.push({ level: 'trace', fields: { ...fields } }),
      debug: (fields: object) => log.push({ level: 'debug', fields: { ...fields } }),
      info: (fields: object) => log.push({ level: 'info', fields: { ...fields } }),
      warn: (fields: object) => log.push({ level: 'warn', fields: { ...fields } }),
    },
    /** The store without injected failures. */
    memory,
    sessions: createSessions({ store: memory, clock, ...lifetimes }),

    /** One gateway of several. */
    startGateway: (metrics: Metrics = noMetrics, options: { storeTimeoutMs?: number } = {}) =>
      createUserTokens({
        ...options,
        metrics,
        sessions,
        store,
        issuer,
        clock,
        reportEnding: createEndingReport({ metrics, events: { ended() {} } }),
        onRenewed() {},
        random: () => random,
        issuerTimeoutMs,
        refreshBeforeExpirationMs,
      }),

    /** A session whose access token has this much time left. */
    async signIn(leftMs: number, tokens: Partial<TokenSet> = {}): Promise<Session> {
      const expiresAt = clock.now() + leftMs
      const tokenSet = {
        accessToken: 'access-0',
        tokenType: 'Bearer',
        refreshToken: 'refresh-0',
        obtainedAt: expiresAt - lifetimeMs,
        expiresAt,
        ...tokens,
      }
      return (await createSessions({ store: memory, clock, ...lifetimes }).create({ ...login, tokenSet }))
        .session
    },

    /** From now on this function wraps this command of the gateways' store. */
    interceptStore,
    /** From now on the command fails without effect. */
    breakStore: (command: string) => interceptStore(command, fail),
    /** From now on the command takes effect, but its answer is lost. */
    loseAnswers: (command: string) =>
      interceptStore(command, async (run) => {
        await run()
        return fail()
      }),
    mendStore: (command: string) => interceptions.delete(command),
  }
}

type Interception = (run: () => Promise<unknown>) => Promise<unknown>

async function fail(): Promise<never> {
  throw new StoreUnavailableError(new Error('on purpose'))
}

function interceptable(memory: SessionStore, interceptions: Map<string, Interception>): SessionStore {
  const store = new Proxy(memory, {
    get: (target, name: keyof SessionStore) => {
      const command = target[name] as (...args: unknown[]) => Promise<unknown>
      return (...args: unknown[]) => through(name, () => command(...args))
    },
  })
  return {
    ...Object.fromEntries(Object.keys(memory).map((name) => [name, store[name as keyof SessionStore]])),
    async lock(id: string, ttlMs: number) {
      const result = await store.lock(id, ttlMs)
      if (result.outcome !== 'acquired') return result
      const { failures, release, extend, backOff } = result.lock
      const lock = {
        failures,
        extend: (ms: number) => through('extend', () => extend(ms)),
        release: () => through('release', release),
        backOff: (ms: number) => through('backOff', () => backOff(ms)),
      }
      return { ...result, lock }
    },
  } as SessionStore

  function through(name: string, run: () => Promise<unknown>): Promise<unknown> {
    return interceptions.get(name)?.(run) ?? run()
  }
}

function createScriptedIssuer() {
  const answers: (GrantOutcome | Promise<GrantOutcome>)[] = []
  const spent: string[] = []
  const revoked: string[] = []
  const parameters: TokenParameters[] = []
  let grants = 0

  return {
    clientId: 'gateway',
    tokenEndpoint: () => 'https://issuer.example/token',
    /** The refresh tokens that grants were asked for with. */
    spent,
    revoked,
    /** Its next answers; without any it grants. */
    answers,
    /** If true, revocation fails. */
    revocation: async () => {},

    /** Holds the next grant until it is released. */
    hold() {
      const { promise, resolve } = Promise.withResolvers<GrantOutcome>()
      answers.push(promise)
      return resolve
    },

    /** The targets that the grants named. */
    parameters,

    async refresh(refreshToken: string, about: TokenParameters = {}): Promise<GrantOutcome> {
      spent.push(refreshToken)
      parameters.push(about)
      return answers.shift() ?? granted(`${++grants}`)
    },

    async exchange(accessToken: string, about: TokenParameters): Promise<GrantOutcome> {
      spent.push(accessToken)
      parameters.push(about)
      return answers.shift() ?? exchanged(`${++grants}`)
    },

    async revoke(token: string) {
      await this.revocation()
      revoked.push(token)
    },
  }
}

export function granted(name: string, tokens: Partial<GrantedTokens> = {}): GrantOutcome {
  return {
    outcome: 'granted',
    tokens: {
      accessToken: `access-${name}`,
      refreshToken: `refresh-${name}`,
      tokenType: 'Bearer',
      expiresInMs: lifetimeMs,
      ...tokens,
    },
  }
}

/** A token exchange gives no refresh token. */
function exchanged(name: string): GrantOutcome {
  return {
    outcome: 'granted',
    tokens: { accessToken: `access-${name}`, tokenType: 'Bearer', expiresInMs: lifetimeMs },
  }
}

export const refused: GrantOutcome = { outcome: 'refused', oauthError: 'invalid_grant' }

export function failed(reason: string, retryAfterMs?: number): GrantOutcome {
  return { outcome: 'failed', reason, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** Unsigned: it comes from the token endpoint. */
export function idToken(claims: object): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const payload = { iss: login.issuer, sub: login.subject, aud: 'gateway', ...claims }
  return `${encode({ alg: 'none' })}.${encode(payload)}.`
}

/** Lets all pending turns of the event loop run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn()
}

/** A gateway whose grant is still unanswered when its lock has expired, so that another may start. */
export async function freezeHolder(world: ReturnType<typeof createWorld>, session: Session) {
  const { startGateway, issuer, logger, clock } = world
  const answer = issuer.hold()
  const frozen = startGateway()
  const late = rejectsWith(frozen.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await clock.advance(3 * issuerTimeoutMs)
  await late
  return { frozen, answer }
}

/** Whether a promise has settled. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = () => {
    settled = true
  }
  promise.then(note, note)
  await settle()
  return settled
}

export function accessToken(session: Session | undefined): string | undefined {
  return session?.record.tokenSet.accessToken
}

export async function rejectsWith(promise: Promise<unknown>, code: ErrorCode): Promise<GatewayError> {
  const error = await promise.then(
    () => assert.fail(`expected ${code}`),
    (error: unknown) => error,
  )
  assert.ok(error instanceof GatewayError, String(error))
  assert.equal(error.code, code)
  return error
}
