import { createRequire } from 'node:module'
import type { CookieSerializeOptions } from '@fastify/cookie'

/** The content of an encrypted cookie, as @fastify/secure-session provides it. */
export interface SealedCookie {
  /** Whether the response sets the cookie. */
  changed: boolean
  get(name: string): unknown
  set(name: string, value: unknown): void
  /** Makes the response clear the cookie. */
  delete(): void
  data(): Record<string, unknown>
}

/** The methods that @fastify/secure-session adds to the server. */
export interface CookieSealer {
  createSecureSession(data: object): SealedCookie
  /** @param value undefined for a request without this cookie */
  decodeSecureSession(value: string | undefined, log: unknown, sessionName: string): SealedCookie | null
  encodeSecureSession(cookie: SealedCookie, sessionName: string): string
}

export interface SecureSessionOptions {
  sessionName: string
  cookieName: string
  /** The first encrypts, all decrypt. */
  key: Buffer[]
  /** Seconds. */
  expiry: number
  cookie: CookieSerializeOptions
}

/**
 * @fastify/secure-session without its types: they declare `request.session` as the cookie's content, but ours is the
 * session that the cookie refers to.
 */
export const secureSession = createRequire(import.meta.url)('@fastify/secure-session')
