import type { PkceSupport } from './discovery.ts'
import { failureReason } from './grant-failure.ts'
import type { IssuerEvents } from './issuer.ts'

/** The part of a pino logger that is needed here. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Metadata come again and again: what they say of PKCE is told when it is new. */
export function issuerLog(log: Log): IssuerEvents {
  let told: PkceSupport = 'supported'

  return {
    unreachable(err, retryInMs) {
      log.warn({ event: 'issuer.unreachable', err, retryInMs }, 'Discovery of the issuer failed')
    },

    userInfoFailed(err) {
      const reason = failureReason(err)
      log.warn({ event: 'issuer.userinfo.failed', reason, err }, 'UserInfo could not be had for a login')
    },

    learned(pkce) {
      if (pkce === 'unsupported' && pkce !== told)
        log.warn({ event: 'issuer.pkce.unsupported' }, 'The issuer does not support PKCE with S256')
      if (pkce === 'unsaid' && pkce !== told)
        log.info({ event: 'issuer.pkce.unsaid' }, 'The issuer does not say whether it supports PKCE')
      told = pkce
    },
  }
}
