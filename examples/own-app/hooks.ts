import type { BffHooks } from 'fastify-bff'

/** The roles of users. A real application would query its database. */
const roles: Record<string, string[]> = { alice: ['editor'], bob: [] }

export const hooks: BffHooks = {
  onClaims: (claims) => ({ ...claims, roles: roles[String(claims['sub'])] ?? [] }),

  onLogin(session, request) {
    request.log.info({ subject: session.subject }, 'Welcome')
  },
}
