import type { FastifyHelmetOptions } from '@fastify/helmet'
import { allowsFraming, type PagePolicyOptions } from './page-policy.ts'

export type PageHeadersOptions = PagePolicyOptions

/** Helmet's security headers for pages that we serve. The Content-Security-Policy depends on the page. */
export function pageHeaders({ https, widening }: PageHeadersOptions): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: false,
    ...(allowsFraming(widening) && { frameguard: false }),
    // For this host only: subdomains may be run by others.
    strictTransportSecurity: https && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
  }
}
