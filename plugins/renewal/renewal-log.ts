import { createHash } from 'node:crypto'
import type { IssuerRefusal } from '../issuer/grant-failure.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import type { SessionRecord } from '../session/session-record.ts'

/**
 * The part of a pino logger that a renewal writes to. Its bindings already include `reqId`, `user` and `sessionHash`.
 */
export interface RenewalLog {
  trace(fields: object): void
  debug(fields: object): void
  info(fields: object): void
  warn(fields: object): void
}

/** Adds `target` to each line if the token is not the session's own. */
export function logAbout(target: TokenTarget | undefined, log: RenewalLog): RenewalLog {
  if (!target) return log
  const about = { target: target.key }
  return {
    trace: (fields) => log.trace({ ...fields, ...about }),
    debug: (fields) => log.debug({ ...fields, ...about }),
    info: (fields) => log.info({ ...fields, ...about }),
    warn: (fields) => log.warn({ ...fields, ...about }),
  }
}

/** How a refresh token appears in logs: first 16 bytes of its SHA-256, base64url. */
export function refreshTokenHash(refreshToken: string): string {
  return createHash('sha256').update(refreshToken).digest().subarray(0, 16).toString('base64url')
}

/** Removes the refresh token from the error description: some issuers quote it. */
export function withoutToken(
  { oauthError, errorDescription }: IssuerRefusal,
  { tokenSet }: SessionRecord,
): IssuerRefusal {
  if (errorDescription === undefined) return { oauthError }
  const { refreshToken = '' } = tokenSet
  const safe = refreshToken === '' ? errorDescription : errorDescription.replaceAll(refreshToken, '…')
  return { oauthError, errorDescription: safe }
}

export function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}
