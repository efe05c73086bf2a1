/** What is said of a token when it is asked for. Parameters that are unset are left to the issuer. */
export interface TokenParameters {
  /** Space-separated. */
  scope?: string
  /** @see https://www.rfc-editor.org/rfc/rfc8707 */
  resource?: string
  /** As RFC 8693, and some issuers in other grants too, name the API. */
  audience?: string
}

/** Something that says of a token what {@link TokenParameters} do, and perhaps more. */
export type Described = { [Name in keyof TokenParameters]?: string | undefined }

/** A token of the user's for one API, beside the session's own. */
export interface TokenTarget {
  /** Under which the session keeps it. */
  key: string
  /** `refresh`: by the session's refresh token. `exchange`: in exchange for its access token (RFC 8693). */
  grant: 'refresh' | 'exchange'
  parameters: TokenParameters
}

/** @returns nothing when the session's own token is what is wanted */
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
