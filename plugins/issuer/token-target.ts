/** Parameters of a token request. The issuer decides about those that are unset. */
export interface TokenParameters {
  /** Space-separated. */
  scope?: string
  /** @see https://www.rfc-editor.org/rfc/rfc8707 */
  resource?: string
  /** The API, as in RFC 8693; some issuers accept it in other grants too. */
  audience?: string
}

/** Any object with {@link TokenParameters}, such as the options of an upstream. */
export type Described = { [Name in keyof TokenParameters]?: string | undefined }

/** An additional token of the user for one API, besides the session's own. */
export interface TokenTarget {
  /** Key in the session record's `apiTokens`. */
  key: string
  /** `refresh`: with the session's refresh token. `exchange`: token exchange with its access token (RFC 8693). */
  grant: 'refresh' | 'exchange'
  parameters: TokenParameters
}

/** @returns undefined for the session's own token */
export function tokenTarget(wanted: TokenParameters & { exchange?: boolean }): TokenTarget | undefined {
  const parameters = tokenParameters(wanted)
  const { exchange = false } = wanted
  if (!exchange && Object.keys(parameters).length === 0) return undefined
  const grant = exchange ? 'exchange' : 'refresh'
  return { key: `${grant} ${new URLSearchParams({ ...parameters })}`, grant, parameters }
}

/** Those that are set, always in the same order. */
export function tokenParameters({ scope, resource, audience }: Described): TokenParameters {
  return {
    ...(scope !== undefined && { scope }),
    ...(resource !== undefined && { resource }),
    ...(audience !== undefined && { audience }),
  }
}
