import type { FastifyHelmetOptions } from '@fastify/helmet'

/**
 * Helmet's security headers for pages that we serve. Scripts come from our own origin only; what more a frontend
 * forbids itself it says in a `<meta http-equiv="Content-Security-Policy">` of its own.
 */
export function pageHeaders(https: boolean): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: {
      directives: {
        // Browsers would ask for https at a gateway that has none.
        ...(!https && { upgradeInsecureRequests: null }),
      },
    },
    // Of this host alone: what its subdomains do is not ours to decide.
    strictTransportSecurity: https && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
  }
}
