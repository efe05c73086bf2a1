import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import type { RouteOptions } from './options.ts'

/** Helmet's security headers for what the gateway answers itself, which needs neither scripts nor anything else. */
export async function answerHeaders(app: FastifyInstance, { publicUrl }: RouteOptions): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: policy("'self'"),
    // Whether its subdomains have https is not ours to say.
    strictTransportSecurity: publicUrl.protocol === 'https:' && { includeSubDomains: false },
    referrerPolicy: { policy: 'same-origin' },
    // It counts on redirects too, and would cut a login in a popup off from the page that opened it.
    crossOriginOpenerPolicy: false,
  })
}

/** A route's own: pages of this origin may show it in a frame. X-Frame-Options can't say so. */
export function forFramesOf(origin: string): FastifyHelmetOptions {
  return { contentSecurityPolicy: policy(origin), frameguard: false, crossOriginResourcePolicy: false }
}

function policy(frameAncestors: string) {
  return {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], frameAncestors: [frameAncestors] },
  }
}
