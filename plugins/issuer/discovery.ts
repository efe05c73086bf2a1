import * as oidc from 'openid-client'
import { clientAuthentication } from './client-authentication.ts'
import { endpoint } from './endpoint.ts'
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

/**
 * Fetches the issuer's metadata.
 * @throws when they can't be had, are another's, or lack what no login can do without
 */
export async function discover(options: IssuerOptions): Promise<Configurations> {
  const authentication = await clientAuthentication(options)
  const insecure = options.issuer.protocol === 'http:'
  const interactive = await oidc.discovery(options.issuer, options.clientId, {}, authentication, {
    timeout: options.timeoutMs / 1000,
    ...(insecure && { execute: [oidc.allowInsecureRequests] }),
  })
  const { authorization_endpoint: wayIn, token_endpoint: grants } = interactive.serverMetadata()
  for (const needed of [wayIn, grants])
    if (!endpoint(needed, options.issuer)) throw new TypeError('The issuer names no usable endpoints')
  // Without this the signature of an ID token from the token endpoint is not looked at.
  oidc.enableNonRepudiationChecks(interactive)
  interactive[oidc.customFetch] = loginAnswerFetch(grants)

  const patient = new oidc.Configuration(interactive.serverMetadata(), options.clientId, {}, authentication)
  patient.timeout = undefined
  patient[oidc.customFetch] = refreshAnswerFetch(2.5 * options.timeoutMs)
  if (insecure) oidc.allowInsecureRequests(patient)
  return { interactive, patient }
}
