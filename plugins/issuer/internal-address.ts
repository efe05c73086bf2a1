import { basePath } from '../../config/index.ts'
import type { Fetch } from './transport.ts'

/** An issuer that the gateway reaches at another address than browsers do. */
export interface InternalAddress {
  /** `fetch` for URLs as browsers have them. */
  fetch: Fetch
  /** Metadata that name URLs as browsers have them, whichever address they were asked at. */
  publicMetadata(text: string): string
}

/**
 * Sends requests for the issuer to its internal address. All else keeps the public URLs: issuer identifier, audience of
 * client assertions, what browsers are sent to. Some issuers name the address of the request in their metadata
 * (Keycloak with `hostname-backchannel-dynamic`, oidc-provider); these URLs are mapped back.
 *
 * @param internal origin, with a path if the issuer has another path there. Unset: requests go to the public address
 */
export function internalAddress(issuer: URL, internal: URL | undefined, fetch: Fetch): InternalAddress {
  if (!internal) return { fetch, publicMetadata: (text) => text }
  const paths = { public: basePath(issuer), internal: basePath(internal) || basePath(issuer) }
  return {
    fetch: (url, options) =>
      fetch(moved(new URL(url), issuer, internal, paths.public, paths.internal), options),
    publicMetadata: (text) =>
      mapUrls(text, (url) => moved(url, internal, issuer, paths.internal, paths.public)),
  }
}

/** @returns the URL at another origin, and below another path if it is below `fromPath` */
function moved(url: URL, from: URL, to: URL, fromPath: string, toPath: string): URL {
  if (url.origin !== from.origin) return url
  const isBelow = url.pathname === fromPath || url.pathname.startsWith(`${fromPath}/`)
  const path = isBelow ? toPath + url.pathname.slice(fromPath.length) : url.pathname
  return new URL(path + url.search, to.origin)
}

/** Maps all texts in a JSON document that are URLs; other documents stay. */
function mapUrls(text: string, map: (url: URL) => URL): string {
  try {
    return JSON.stringify(JSON.parse(text), (key, value: unknown) => {
      // The identifier is compared to the letter, and never mapped.
      if (key === 'issuer' || typeof value !== 'string' || !/^https?:/.test(value)) return value
      const url = URL.parse(value)
      const mapped = url && map(url)
      return mapped && mapped !== url ? mapped.href : value
    })
  } catch {
    return text
  }
}
