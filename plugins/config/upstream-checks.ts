import { isOwnCookie } from '../upstream-proxy/cookies.ts'
import type { UpstreamOptions } from './options.ts'
import type { ReadSettings } from './read-settings.ts'

/** Rules between upstreams and variables, each told once both are right by themselves. */
export function upstreamChecks(
  upstreams: UpstreamOptions[],
  { values, label }: Pick<ReadSettings, 'values' | 'label'>,
): string[] {
  const base = values.PUBLIC_URL?.pathname.replace(/\/$/, '') ?? ''
  return upstreams.flatMap(({ prefix, requestCookies, responseCookies }) => {
    const faults: string[] = []
    if (base !== '' && (isBelow(prefix, base) || isBelow(base, prefix))) {
      faults.push(
        `The upstream at ${prefix} and the path ${base} of ${label('PUBLIC_URL')} overlap, so that nobody could tell which of the two a request means: choose another prefix`,
      )
    }
    for (const name of new Set([...requestCookies, ...responseCookies])) {
      if (values.COOKIE_NAME === undefined || !isOwnCookie(name, values.COOKIE_NAME)) continue
      faults.push(
        `The upstream at ${prefix} names the cookie ${name}, which is the gateway's own and passes neither way: remove it, or choose another ${label('COOKIE_NAME')}`,
      )
    }
    return faults
  })
}

function isBelow(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`)
}
