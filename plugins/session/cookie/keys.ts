import { hkdfSync } from 'node:crypto'

/**
 * A key of its own for each purpose. secure-session seals without saying what for, so under one key a sealed
 * login transaction would open as a session.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5869
 */
export function deriveKeys(keys: Buffer[], purpose: string): Buffer[] {
  return keys.map((key) => Buffer.from(hkdfSync('sha256', key, '', `fastify-bff ${purpose}`, 32)))
}
