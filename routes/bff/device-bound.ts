import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { structuredItem } from '../../http/structured-item.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { requestChecks } from '../../plugins/guard/checks.ts'
import { addToLog } from '../../plugins/logging/logger.ts'
import { bindSession } from '../../plugins/session/device-binding/bind-session.ts'
import {
  claimedChallenge,
  DeviceJwtError,
  verifiedChallenge,
  verifyRegistration,
} from '../../plugins/session/device-binding/device-jwt.ts'
import { refreshPath, registrationPath } from '../../plugins/session/device-binding/instructions.ts'
import type { DeviceKey } from '../../plugins/session/device-key.ts'
import { logFields, type Session } from '../../plugins/session/session.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { ignoreBodies } from './body-parsers.ts'
import type { RouteOptions } from './options.ts'

/**
 * Device Bound Session Credentials: the browser registers a key with the session, and proves from time to time that it
 * still has it. The browser itself sends these requests, so they have no CSRF header; a page of another site can't send
 * their headers.
 *
 * @see https://w3c.github.io/webappsec-dbsc/
 */
export async function deviceBound(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { clock } = options
  const { deviceBinding } = app
  if (!deviceBinding.isPossible) return
  const { challenges } = deviceBinding
  const checks = requestChecks(options)

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    checks.origin(request.raw)
  })
  ignoreBodies(app)
  if (deviceBinding.isOn) app.post(registrationPath, register)
  app.post(refreshPath, refresh)

  async function register(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const jwt = structuredItem(request.headers['secure-session-response'])
    if (jwt === undefined) throw rejected(request, 'registration', 'no proof')
    // Before the signature: only those who have a session here make the gateway verify one.
    const opened = challenges.openRegistration(claimedChallenge(jwt))
    const inCookie = app.browserCookies.sessionReference(request)
    if (!opened || (inCookie && inCookie.id !== opened.about.id))
      throw rejected(request, 'registration', 'unknown challenge')
    const key = await verifyRegistration(jwt).catch((error: unknown) => {
      throw error instanceof DeviceJwtError ? rejected(request, 'registration', error.message) : error
    })
    const session = await app.sessions.load(opened.about, { slide: false })
    if (!session) throw new GatewayError('BFF_SESSION_REQUIRED')
    addToLog(request, logFields(session))
    if (session.record.device) throw rejected(request, 'registration', 'bound before')
    if (!(await opened.use())) throw rejected(request, 'registration', 'used challenge')
    const bound = await bindSession(app.sessions, session, { key, boundAt: clock.now() })
    if (!bound) throw new GatewayError('BFF_SESSION_REQUIRED')
    if (bound === 'bound-before') throw rejected(request, 'registration', 'bound before')
    // If it fails, the next request that extends the session notes it.
    await app.sessions.noteBound(bound).catch(() => {})
    request.log.info({ event: 'session.bound', alg: key.alg })
    app.metrics.deviceBinding('registered')
    return deviceBinding.issueProof(reply, { session: bound.id, key })
  }

  async function refresh(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const id = structuredItem(request.headers['sec-secure-session-id'])
    if (id === undefined)
      throw new GatewayError('BFF_INVALID_PARAMETER', { details: 'The session is not named' })
    try {
      const session = await app.findSession(request, { slide: false, proof: 'optional' })
      const key = session?.record.device?.key
      if (session?.id !== id || !key) return end(request, reply, session)
      const challenge = await signedChallenge(request, reply, { id, key })
      if (!(await challenge.use())) throw refused(request, reply, 'used challenge', id)
      request.log.debug({ event: 'session.binding.refreshed' })
      app.metrics.deviceBinding('refreshed')
      return deviceBinding.issueProof(reply, { session: id, key })
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error
      return refreshInOutage(request, reply, id, error)
    }
  }

  /**
   * The session can't be read. A device that still has a valid proof and its key gets one more, once: otherwise the
   * browser would give up refreshing for a while, and its requests would be refused when the store is back.
   */
  async function refreshInOutage(
    request: FastifyRequest,
    reply: FastifyReply,
    id: string,
    outage: StoreUnavailableError,
  ): Promise<object> {
    const proof = deviceBinding.proof(request)
    if (proof?.session !== id || proof.inOutage) throw outage
    await signedChallenge(request, reply, { id, key: proof.key })
    app.metrics.deviceBinding('refreshed')
    return deviceBinding.issueProof(reply, { session: id, key: proof.key, inOutage: true })
  }

  /** @throws GatewayError BFF_DEVICE_PROOF_REQUIRED, with a new challenge */
  async function signedChallenge(
    request: FastifyRequest,
    reply: FastifyReply,
    { id, key }: { id: string; key: DeviceKey },
  ) {
    const jwt = structuredItem(request.headers['secure-session-response'])
    if (jwt === undefined) throw askForProof(reply, id)
    const challenge = await verifiedChallenge(jwt, key).catch((error: unknown) => {
      if (!(error instanceof DeviceJwtError)) throw error
      throw refused(request, reply, error.message, id)
    })
    const opened = challenges.openRefresh(challenge)
    if (opened?.about !== id) throw refused(request, reply, 'unknown challenge', id)
    return opened
  }

  /** Makes the browser forget a binding whose session has ended, or that another login has replaced. */
  function end(request: FastifyRequest, reply: FastifyReply, current: Session | null): object {
    if (!current) deviceBinding.clearProof(request, reply)
    app.metrics.deviceBinding('ended')
    return { continue: false }
  }

  function askForProof(reply: FastifyReply, id: string): GatewayError {
    deviceBinding.challenge(reply, id)
    return new GatewayError('BFF_DEVICE_PROOF_REQUIRED')
  }

  function refused(request: FastifyRequest, reply: FastifyReply, reason: string, id: string): GatewayError {
    rejected(request, 'refresh', reason)
    return askForProof(reply, id)
  }

  /** Logs and counts it. @returns the error for the client, without the reason */
  function rejected({ log }: FastifyRequest, step: 'registration' | 'refresh', reason: string): GatewayError {
    log.warn({ event: 'session.binding.rejected', step, reason })
    app.metrics.deviceBinding(`${step}_rejected`)
    return new GatewayError('BFF_BINDING_REJECTED')
  }
}
