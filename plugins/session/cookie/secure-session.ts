import { createRequire } from 'node:module'
import type { CookieSerializeOptions } from '@fastify/cookie'

/** What is sealed into a cookie, as @fastify/secure-session hands it out. */
export interface SealedCookie {
  /** Whether the answer sets the cookie. */
  changed: boolean
  get(name: string): unknown
  set(name: string, value: unknown): void
  /** Makes the answer clear the cookie. */
  delete(): void
  data(): Record<string, unknown>
}

export interface SecureSessionOptions {
  sessionName: string
  cookieName: string
  /** The first seals, all open. */
  key: Buffer[]
  /** Seconds. */
  expiry: number
  cookie: CookieSerializeOptions
}

/**
 * @fastify/secure-session without its types: they declare `request.session` as the content of the cookie, and ours
 * is the session that the cookie refers to.
 */
export const secureSession = createRequire(import.meta.url)('@fastify/secure-session')
