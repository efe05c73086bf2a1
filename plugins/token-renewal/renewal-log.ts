import { createHash } from 'node:crypto'

/** The part of a pino logger that a renewal writes to. It carries `reqId`, `user` and `sessionHash` by itself. */
export interface RenewalLog {
  trace(fields: object): void
  debug(fields: object): void
  warn(fields: object): void
}

/** How a refresh token appears in logs: first 16 bytes of its SHA-256, base64url. */
export function refreshTokenHash(refreshToken: string): string {
  return createHash('sha256').update(refreshToken).digest().subarray(0, 16).toString('base64url')
}

export function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}
