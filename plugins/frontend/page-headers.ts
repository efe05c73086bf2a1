import type { FastifyHelmetOptions } from '@fastify/helmet'

export interface PageHeadersOptions {
  /** Whether browsers reach the gateway by https. */
  https: boolean
  issuerOrigin: string
}

/**
 * Helmet's security headers for pages that we serve. Scripts come from our own origin only; what more a frontend
 * forbids itself it says in a `<meta http-equiv="Content-Security-Policy">` of its own.
 */
export function pageHeaders({ https, issuerOrigin }: PageHeadersOptions): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: {
      directives: {
        // Browsers would ask for https at a gateway that has none.
        ...(!https && { upgradeInsecureRequests: null }),
        // A silent login goes there in a frame.
        frameSrc: ["'self'", issuerOrigin],
      },
    },
    // Of this host alone: what its subdomains do is not ours to decide.
    strictTransportSecurity: https && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
  }
}
