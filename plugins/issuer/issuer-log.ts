import type { PkceSupport } from './discovery.ts'
import { failureReason, statusOf } from './grant-failure.ts'
import type { IssuerEvents } from './issuer.ts'

/** The part of a pino logger that is needed here. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Metadata are fetched repeatedly, so what they say is logged only when it changes. */
export function issuerLog(log: Log, issuer: URL): IssuerEvents {
  let logged: PkceSupport = 'supported'
  let isMethodLogged = false
  let isDpopLogged = false

  return {
    unreachable(err, retryInMs) {
      const url = discoveryUrl(issuer)
      const fields = { event: 'issuer.unreachable', url, status: statusOf(err), reason: failureReason(err) }
      log.warn({ ...fields, err, retryInMs }, 'Discovery of the issuer failed')
    },

    userInfoFailed(err) {
      const reason = failureReason(err)
      log.warn({ event: 'issuer.userinfo.failed', reason, err }, 'UserInfo could not be fetched for a login')
    },

    metadataLoaded(pkce) {
      if (pkce === 'unsupported' && pkce !== logged)
        log.warn({ event: 'issuer.pkce.unsupported' }, 'The issuer does not support PKCE with S256')
      if (pkce === 'unsaid' && pkce !== logged)
        log.info({ event: 'issuer.pkce.unsaid' }, 'The issuer does not say whether it supports PKCE')
      logged = pkce
    },

    idTokenRefused(outcome, err) {
      const event = `issuer.id_token.${outcome}`
      log.warn({ event, reason: failureReason(err), err }, `The ID token of a refresh is ${outcome}`)
    },

    dpopNotOffered() {
      if (!isDpopLogged)
        log.warn(
          { event: 'issuer.dpop.not_offered' },
          "OIDC_DPOP is true, and the issuer's metadata do not mention DPoP",
        )
      isDpopLogged = true
    },

    clientAuthNotOffered(method) {
      if (!isMethodLogged)
        log.warn(
          { event: 'issuer.client_auth.not_offered', method },
          `The issuer's metadata do not offer the client authentication that OIDC_CLIENT_AUTH names`,
        )
      isMethodLogged = true
    },
  }
}

/** The URL of the metadata, as openid-client makes it. */
function discoveryUrl({ origin, pathname }: URL): string {
  const path = pathname.includes('/.well-known/')
    ? pathname
    : `${pathname.replace(/\/$/, '')}/.well-known/openid-configuration`
  return origin + path
}
