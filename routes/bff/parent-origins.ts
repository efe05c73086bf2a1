import type { FastifyRequest } from 'fastify'
import type { RouteOptions } from './options.ts'

/** Origin of the page around a frame, or `self` for the gateway's own as the browser sees it. */
export type ParentOrigin = string
export const ownOrigin: ParentOrigin = 'self'

/** Where the outcome may go: to the page that loaded the frame, or, if its origin is unknown, to every possible one. */
export function parentOrigins(
  request: FastifyRequest,
  { publicUrl, corsOrigins }: Pick<RouteOptions, 'publicUrl' | 'corsOrigins'>,
): ParentOrigin[] {
  const foreign = refererOrigin(request, corsOrigins)
  if (foreign !== undefined) return [foreign]
  return request.headers.referer?.startsWith(`${publicUrl.origin}/`)
    ? [ownOrigin]
    : [ownOrigin, ...corsOrigins]
}

/** The origin in `Referer`, if it is in the list. */
export function refererOrigin({ headers }: FastifyRequest, corsOrigins: string[]): string | undefined {
  const { referer = '' } = headers
  return corsOrigins.find((origin) => referer === origin || referer.startsWith(`${origin}/`))
}
