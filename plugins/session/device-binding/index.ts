import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { basePath } from '../../../config/index.ts'
import { structuredString } from '../../../http/structured-item.ts'
import type { Clock } from '../../../lib/clock.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import type { Session } from '../session.ts'
import type { SessionReference } from '../session-reference.ts'
import { type Challenges, createChallenges } from './challenges.ts'
import { offeredAlgorithms } from './device-jwt.ts'
import { registrationPath, sessionInstructions } from './instructions.ts'
import { createProofs, type Proof } from './proofs.ts'
import { type BindingTimes, bindingTimes, isCurrent } from './times.ts'

declare module 'fastify' {
  interface FastifyInstance {
    deviceBinding: DeviceBinding
  }
}

/** Device Bound Session Credentials. @see https://w3c.github.io/webappsec-dbsc/ */
export interface DeviceBinding {
  /** Whether sessions are bound, and proofs demanded. */
  isOn: boolean
  /** Whether bound sessions can be refreshed: also if they are not bound any more, since other instances may bind them. */
  isPossible: boolean
  challenges: Challenges
  /**
   * Checks, without waiting, that a request comes from the device that its session is bound to.
   * @throws GatewayError BFF_SESSION_NOT_BOUND
   */
  demandProof(request: FastifyRequest, session: Session): void
  /** Whether the session is bound to no device, or the request has a valid proof. */
  hasProof(request: FastifyRequest, session: Session): boolean
  /** Asks the browser to bind a session that has just begun. */
  offerRegistration(reply: FastifyReply, reference: SessionReference, session: Session): void
  /** The same with a later answer, for a browser that has not registered at the login. */
  offerAgain(request: FastifyRequest, reply: FastifyReply, session: Session): void
  /** The request's proof, for any session. Undefined if it has expired. */
  proof(request: FastifyRequest): Proof | undefined
  /** Sets the proof cookie. @returns the instructions for the browser */
  issueProof(reply: FastifyReply, proof: Omit<Proof, 'issuedAt'>): object
  /** Asks the browser to sign a challenge. */
  challenge(reply: FastifyReply, sessionId: string): void
  clearProof(request: FastifyRequest, reply: FastifyReply): void
}

export interface DeviceBindingOptions {
  publicUrl: URL
  binding: 'auto' | 'required' | 'off'
  /** The first seals, all open. */
  keys: Buffer[]
  /** The session cookie. */
  sessionCookie: { name: string; sameSite: 'strict' | 'lax' | 'none' }
  /** Origins of other pages of the frontend. */
  corsOrigins: string[]
  clock: Clock
  times?: Partial<BindingTimes> | undefined
}

/** How long after a login a further answer offers a registration, in milliseconds: the first may be under way. */
const offerAgainAfterMs = 10_000

export default fp<DeviceBindingOptions>(
  async (app, { publicUrl, binding, keys, sessionCookie, corsOrigins, clock, times = {} }) => {
    const { proofMs, challengeMs, registrationMs, underWayMs } = { ...bindingTimes, ...times }
    // Browsers bind sessions over https only.
    const isPossible = publicUrl.protocol === 'https:'
    const isOn = isPossible && binding !== 'off'
    const cookieName = `${sessionCookie.name}-bound`
    // Sent with the same requests as the session cookie.
    const { sameSite } = sessionCookie
    const instructions = {
      publicUrl,
      cookieName,
      cookieAttributes: `Path=/; Secure; HttpOnly; SameSite=${capitalized(sameSite)}`,
      refreshInitiators: corsOrigins.map((origin) => new URL(origin).hostname),
    }
    const cookie = { path: '/', secure: true, httpOnly: true, sameSite }
    const proofs = createProofs({ keys, clock, lifetimeMs: proofMs })
    const store = app.sessionStore
    const challenges = createChallenges({ keys, store, clock, lifetimeMs: challengeMs })

    const deviceBinding: DeviceBinding = {
      isOn,
      isPossible,
      challenges,

      demandProof(request, session) {
        if (!isOn) return
        const { device, createdAt } = session.record
        if (!device) {
          if (binding === 'required' && !isCurrent(createdAt, registrationMs, clock.now()))
            refuse(request, 'unbound')
        } else if (!deviceBinding.hasProof(request, session) && !isUnderWay(request, device.boundAt)) {
          refuse(request, 'no_proof')
        }
      },

      hasProof: (request, { id, record }) =>
        !isOn || !record.device || deviceBinding.proof(request)?.session === id,

      offerRegistration(reply, reference, { record }) {
        if (!isOn || record.device || !isCurrent(record.createdAt, registrationMs, clock.now())) return
        const path = structuredString(basePath(publicUrl) + registrationPath)
        const challenge = structuredString(challenges.forRegistration(reference))
        reply.header(
          'secure-session-registration',
          `${offeredAlgorithms};path=${path};challenge=${challenge}`,
        )
      },

      offerAgain(request, reply, session) {
        if (!isOn || clock.now() - session.record.createdAt < offerAgainAfterMs) return
        const reference = app.browserCookies.sessionReference(request)
        if (reference) deviceBinding.offerRegistration(reply, reference, session)
      },

      proof: (request) => proofs.open(request.cookies[cookieName]),

      issueProof(reply, proof) {
        reply.setCookie(cookieName, proofs.seal(proof), { ...cookie, maxAge: Math.floor(proofMs / 1000) })
        return sessionInstructions(instructions, proof.session)
      },

      challenge(reply, sessionId) {
        const challenge = structuredString(challenges.forRefresh(sessionId))
        reply.header('secure-session-challenge', `${challenge};id=${structuredString(sessionId)}`)
      },

      clearProof(request, reply) {
        if (request.cookies[cookieName] !== undefined) reply.clearCookie(cookieName, cookie)
      },
    }
    app.decorate('deviceBinding', deviceBinding)

    function isUnderWay({ headers }: FastifyRequest, boundAt: number): boolean {
      // Every browser that binds sessions sends both. Pages of foreign origins were refused.
      const isOfPage = headers['sec-fetch-site'] !== undefined && headers['sec-fetch-dest'] !== undefined
      return isOfPage && isCurrent(boundAt, underWayMs, clock.now())
    }

    function refuse({ log }: FastifyRequest, reason: 'unbound' | 'no_proof'): never {
      log.warn({ event: 'session.not_bound', reason })
      app.metrics.deviceBinding('refused')
      const details =
        reason === 'unbound' ? 'This browser has not bound the session to its device' : undefined
      throw new GatewayError('BFF_SESSION_NOT_BOUND', details === undefined ? {} : { details })
    }
  },
  {
    name: 'device-binding',
    fastify: '5.x',
    dependencies: ['session-cookie', 'session-store', 'observability'],
  },
)

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
