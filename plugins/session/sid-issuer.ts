/**
 * The issuer within which a `sid` is unique. For Microsoft Entra ID that is all tenants: with a multi-tenant endpoint each
 * ID token names the issuer of its own tenant, but a front-channel logout names none.
 */
export function sidIssuer(issuer: string): string {
  return issuer.replace(/^(https:\/\/login\.microsoftonline\.com\/)[^/]+/, '$1{tenantid}')
}
