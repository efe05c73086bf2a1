/** Where an upstream is, for the gateway and for the browser. */
export interface Places {
  target: URL
  /** Origin of the gateway's public URL. */
  publicOrigin: string
  /** Path below which the browser sees the upstream. */
  prefix: string
}

/**
 * A URL of the upstream as the browser must see it: below our prefix when it is below the target, as it stands when it
 * leads elsewhere.
 *
 * An upstream that heeds `X-Forwarded-Prefix` puts our prefix before paths of its own, base path included, and one that
 * heeds `X-Forwarded-Host` names our origin. Such a URL needs nothing but to lose the target's base path.
 */
export function browserLocation(location: string, { target, publicOrigin, prefix }: Places): string {
  // Relative to the request's own path, which the browser resolves below our prefix.
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

/** The same for each URL of a `Link` header. @see https://www.rfc-editor.org/rfc/rfc8288#section-3 */
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

/** The rest of a path that is a parent's own or below it, beginning with a slash if it is not empty. */
function below(path: string, parent: string): string | undefined {
  return path === parent || path.startsWith(`${parent}/`) ? path.slice(parent.length) : undefined
}

/** Headers hold one character for each byte; browsers read these bytes as UTF-8. */
function fromBytes(value: string): string {
  return Buffer.from(value, 'latin1').toString('utf8')
}
