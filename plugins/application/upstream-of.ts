import type { UpstreamOptions } from '../../config/index.ts'
import { staysBelow } from '../../http/path.ts'

export interface Destination {
  upstream: UpstreamOptions
  url: URL
}

/**
 * Where a call with the user's token goes: to an upstream that takes it, and nowhere else.
 *
 * @param wanted a URL below the target of such an upstream, or a path as the frontend calls it: below its prefix
 * @throws TypeError when it leads anywhere else
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

/** Of all upstreams: a longer prefix takes a path away from a shorter one, with whatever token. */
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

/** Without a user and password too, which would displace the token. */
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
