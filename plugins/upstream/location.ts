/** The URLs of an upstream, as the gateway and as the browser sees it. */
export interface Places {
  target: URL
  /** Origin of the gateway's public URL. */
  publicOrigin: string
  /** Path below which the browser sees the upstream. */
  prefix: string
}

/**
 * Maps a URL from an upstream to the browser's view: a URL below the target moves below our prefix, any other stays.
 *
 * An upstream that evaluates `X-Forwarded-Prefix` already puts our prefix before its own paths, base path included, and
 * one that evaluates `X-Forwarded-Host` uses our origin. From such a URL only the target's base path is removed.
 *
 * Example: with the target `https://api.internal/v2` and the prefix `/api`, `/v2/orders` and, from an upstream that
 * evaluates `X-Forwarded-Prefix`, `/api/v2/orders` both become `/api/orders`.
 */
export function browserLocation(location: string, { target, publicOrigin, prefix }: Places): string {
  // A relative reference: the browser resolves it below our prefix.
  if (!/^(https?:|\/)/i.test(location)) return location
  const resolved = URL.parse(fromBytes(location), target.href)
  if (!resolved) return location
  const { origin, pathname, search, hash } = resolved
  const base = target.pathname.replace(/\/$/, '')
  const isRooted = /^\/(?![/\\])/.test(location)
  if (isRooted || origin === publicOrigin) {
    const known = below(pathname, prefix)
    const rest = known === undefined ? undefined : below(known, base)
    if (rest !== undefined && base !== '') {
      return (isRooted ? '' : publicOrigin) + prefix + rest + search + hash
    }
    if (known !== undefined) return location
  }
  const rest = origin === target.origin ? below(pathname, base) : undefined
  return rest === undefined ? location : prefix + rest + search + hash
}

/** Maps each URL of a `Link` header likewise. @see https://www.rfc-editor.org/rfc/rfc8288#section-3 */
export function browserLinks(link: string, places: Places): string {
  return link.replaceAll(
    /<([^>]*)>|(;\s*anchor\s*=\s*")([^"]*)"|"(?:\\.|[^"\\])*"/gi,
    (all, url?: string, anchor?: string, context?: string) => {
      if (url !== undefined) return `<${browserLocation(url, places)}>`
      if (anchor === undefined || context === undefined) return all
      return `${anchor}${browserLocation(context, places)}"`
    },
  )
}

/** The rest of `path` after `parent`, empty or starting with a slash. Undefined if it is not below `parent`. */
function below(path: string, parent: string): string | undefined {
  return path === parent || path.startsWith(`${parent}/`) ? path.slice(parent.length) : undefined
}

/** Node decodes headers as latin1; browsers read their bytes as UTF-8. */
function fromBytes(value: string): string {
  return Buffer.from(value, 'latin1').toString('utf8')
}
