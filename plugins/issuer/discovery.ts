import * as oidc from 'openid-client'
import { clientAuthentication } from './client-authentication.ts'
import type { IssuerOptions } from './issuer.ts'
import { refreshAnswerFetch } from './refresh-answer.ts'
import { loginAnswerFetch } from './token-answer.ts'

/** openid-client's view of the issuer, once its metadata are known. */
export interface Configurations {
  /** For what a person waits for. */
  interactive: oidc.Configuration
  /** For refresh token grants: an answer that comes late is still worth having, since the token is spent. */
  patient: oidc.Configuration
}

/** Fetches the issuer's metadata. */
export async function discover(options: IssuerOptions): Promise<Configurations> {
  const authentication = await clientAuthentication(options)
  const insecure = options.issuer.protocol === 'http:'
  const interactive = await oidc.discovery(options.issuer, options.clientId, {}, authentication, {
    timeout: options.timeoutMs / 1000,
    ...(insecure && { execute: [oidc.allowInsecureRequests] }),
  })
  // Without this the signature of an ID token from the token endpoint is not looked at.
  oidc.enableNonRepudiationChecks(interactive)
  interactive[oidc.customFetch] = loginAnswerFetch(interactive.serverMetadata().token_endpoint)

  const patient = new oidc.Configuration(interactive.serverMetadata(), options.clientId, {}, authentication)
  patient.timeout = undefined
  patient[oidc.customFetch] = refreshAnswerFetch(2.5 * options.timeoutMs)
  if (insecure) oidc.allowInsecureRequests(patient)
  return { interactive, patient }
}
