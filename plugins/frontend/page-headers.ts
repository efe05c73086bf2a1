import type { FastifyHelmetOptions } from '@fastify/helmet'

export interface PageHeadersOptions {
  /** Whether browsers reach the gateway over https. */
  https: boolean
  issuerOrigin: string
}

/**
 * Helmet's security headers for pages that we serve. Scripts come from our own origin only; a frontend can add further
 * restrictions with `<meta http-equiv="Content-Security-Policy">`.
 */
export function pageHeaders({ https, issuerOrigin }: PageHeadersOptions): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: {
      directives: {
        // Without TLS, browsers would otherwise request subresources over https.
        ...(!https && { upgradeInsecureRequests: null }),
        // A silent login loads the issuer in a frame.
        frameSrc: ["'self'", issuerOrigin],
      },
    },
    // For this host only: subdomains may be run by others.
    strictTransportSecurity: https && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
  }
}
