import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import type { RouteOptions } from './options.ts'

/** Helmet's security headers for the gateway's own responses, which need no scripts or other resources. */
export async function answerHeaders(app: FastifyInstance, { publicUrl }: RouteOptions): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: policy("'self'"),
    // The gateway can't know whether subdomains support https.
    strictTransportSecurity: publicUrl.protocol === 'https:' && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
    // Also applies to redirects, and would separate a login in a popup from its opener.
    crossOriginOpenerPolicy: false,
  })
}

/** For a single route: allows pages of this origin to frame it. X-Frame-Options can't express that. */
export function forFramesOf(origin: string): FastifyHelmetOptions {
  return { contentSecurityPolicy: policy(origin), frameguard: false, crossOriginResourcePolicy: false }
}

function policy(frameAncestors: string) {
  return {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], frameAncestors: [frameAncestors] },
  }
}
