import { hash } from 'node:crypto'

/** Name of the index of all sessions of a user at one client of the issuer. */
export function subjectIndex(issuer: string, clientId: string, subject: string): string {
  return indexName('sub', issuer, clientId, subject)
}

/** Name of the index of one client's sessions that belong to the same session of the issuer. */
export function sidIndex(issuer: string, clientId: string, sid: string): string {
  return indexName('sid', sidIssuer(issuer), clientId, sid)
}

/**
 * The issuer within which a `sid` is unique. For Microsoft Entra ID that is all tenants: with a multi-tenant endpoint each
 * ID token names the issuer of its own tenant, but a front-channel logout names none.
 */
export function sidIssuer(issuer: string): string {
  return issuer.replace(/^(https:\/\/login\.microsoftonline\.com\/)[^/]+/, '$1{tenantid}')
}

function indexName(...parts: string[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url')
}
