import type { CookieSerializeOptions } from '@fastify/cookie'
import type { SealedCookie } from './secure-session.ts'

/** What the cookies need of Fastify's requests. */
export interface CookieRequest {
  headers: { cookie?: string | undefined }
  cookies: Record<string, string | undefined>
  log: unknown
  /** Content of the session cookie. */
  sealedSession: SealedCookie | null
  /** Whether the response may set or clear the session cookie. */
  changesSessionCookie: boolean
}

/** What the cookies need of Fastify's replies. */
export interface CookieReply {
  setCookie(name: string, value: string, attributes: CookieSerializeOptions): unknown
  clearCookie(name: string, attributes: CookieSerializeOptions): unknown
}
