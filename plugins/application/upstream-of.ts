import type { UpstreamOptions } from '../../config/index.ts'
import { staysBelow } from '../../http/path.ts'

export interface Destination {
  upstream: UpstreamOptions
  url: URL
}

/**
 * Resolves the destination of a call with the user's token: only upstreams that take the user's token are allowed.
 *
 * @param wanted a URL below such an upstream's target, or a path below its prefix, as the frontend calls it
 * @throws TypeError for any other destination
 */
export function destinationOf(wanted: string | URL, upstreams: UpstreamOptions[]): Destination {
  const text = String(wanted)
  const found = text.startsWith('/')
    ? byPrefix(text, upstreams)
    : byTarget(text, upstreams.filter(takesUsersToken))
  const isRight = found && takesUsersToken(found.upstream) && isBelow(found.url, found.upstream.target)
  if (isRight && staysBelow(pathOf(text))) return found
  throw new TypeError(
    `${text.split(/[?#]/, 1)[0]} is below no upstream that takes the user's token: add one to the upstreams`,
  )
}

function takesUsersToken({ token }: UpstreamOptions): boolean {
  return token.startsWith('user')
}

/** Searches all upstreams, whatever their token: the longest prefix wins. */
function byPrefix(path: string, upstreams: UpstreamOptions[]): Destination | undefined {
  const upstream = longest(
    upstreams.filter(({ prefix }) => startsWithPath(path, prefix)),
    ({ prefix }) => prefix,
  )
  if (!upstream) return undefined
  const { target, prefix } = upstream
  const url = URL.parse(target.origin + basePathOf(target) + path.slice(prefix.length))
  return url ? { upstream, url } : undefined
}

function byTarget(text: string, upstreams: UpstreamOptions[]): Destination | undefined {
  const url = URL.parse(text)
  const upstream =
    url &&
    longest(
      upstreams.filter(({ target }) => isBelow(url, target)),
      ({ target }) => target.href,
    )
  return upstream ? { upstream, url } : undefined
}

/** Rejects a URL with user and password: these would replace the token. */
function isBelow(url: URL, target: URL): boolean {
  if (url.origin !== target.origin || url.username !== '' || url.password !== '') return false
  return startsWithPath(url.pathname, basePathOf(target))
}

function startsWithPath(path: string, base: string): boolean {
  return path.startsWith(base) && /^(?:[/?#]|$)/.test(path.slice(base.length))
}

function longest<T>(all: T[], textOf: (one: T) => string): T | undefined {
  return all.toSorted((a, b) => textOf(b).length - textOf(a).length)[0]
}

function basePathOf({ pathname }: URL): string {
  return pathname.replace(/\/$/, '')
}

function pathOf(url: string): string {
  return url.replace(/^\w+:\/\/[^/?#]*/, '').split(/[?#]/, 1)[0] ?? ''
}
