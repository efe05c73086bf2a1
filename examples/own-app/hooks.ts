import type { BffHooks } from 'fastify-bff'

/** Who may do what here. A real application would ask its database. */
const roles: Record<string, string[]> = { alice: ['editor'], bob: [] }

export const hooks: BffHooks = {
  onClaims: (claims) => ({ ...claims, roles: roles[String(claims['sub'])] ?? [] }),

  onLogin(session, request) {
    request.log.info({ subject: session.subject }, 'Welcome')
  },
}
