import { hkdfSync } from 'node:crypto'

/**
 * Derives a separate key for each purpose. secure-session does not authenticate a cookie's purpose, so with one key a
 * login transaction cookie could be used as a session cookie.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5869
 */
export function deriveKeys(keys: Buffer[], purpose: string): Buffer[] {
  return keys.map((key) => Buffer.from(hkdfSync('sha256', key, '', `fastify-bff ${purpose}`, 32)))
}
