import type { FastifyInstance } from 'fastify'
import { decodeJwt } from 'jose'
import { isoTime, secondsBetween } from '../../lib/clock.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { userClaims, withoutTokens } from '../../plugins/session/claims.ts'
import type { Session } from '../../plugins/session/session.ts'
import type { RouteOptions } from './options.ts'
import { signedIn } from './signed-in.ts'

/** For developers: all data of the session, with hashes (as in the log) instead of tokens. */
export async function diagnostics(
  app: FastifyInstance,
  { clock, session: { lifetimeMs } }: RouteOptions,
): Promise<void> {
  app.get('/diagnostics', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const session = await signedIn(app, request, false)
    return diagnosis(session, lifetimeMs, clock.now())
  })
}

function diagnosis({ record, expiresAt }: Session, lifetimeMs: number, now: number) {
  const { issuer, subject, sid, claims, createdAt, renewals, renewedAt, tokenSet, device } = record
  const {
    accessToken,
    tokenType,
    scope,
    obtainedAt,
    expiresAt: tokenExpiresAt,
    refreshToken,
    idToken,
  } = tokenSet
  return {
    timestamp: isoTime(now),
    session: {
      issuer,
      subject,
      sid,
      claims: userClaims(claims),
      createdUtc: isoTime(createdAt),
      expiresUtc: isoTime(expiresAt),
      expiresIn: secondsBetween(now, expiresAt),
      lifetimeEndsUtc: isoTime(createdAt + lifetimeMs),
      renewals,
      renewedUtc: isoTime(renewedAt),
      device: device ? { algorithm: device.key.alg, boundUtc: isoTime(device.boundAt) } : null,
    },
    accessToken: {
      ...describeToken(accessToken),
      tokenType,
      scope: scope ?? null,
      obtainedUtc: isoTime(obtainedAt),
      expiresUtc: isoTime(tokenExpiresAt),
      expiresIn: tokenExpiresAt === undefined ? null : secondsBetween(now, tokenExpiresAt),
    },
    refreshToken: refreshToken === undefined ? null : describeToken(refreshToken),
    idToken: idToken === undefined ? null : describeToken(idToken),
  }
}

/** Describes a token without revealing it. */
function describeToken(token: string) {
  const claims = claimsOf(token)
  return { kind: claims ? 'jwt' : 'opaque', hash: hashForLog(token), claims }
}

function claimsOf(token: string) {
  try {
    return withoutTokens(decodeJwt(token))
  } catch {
    return null
  }
}
