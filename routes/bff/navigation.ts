import type { IncomingHttpHeaders } from 'node:http'
import { GatewayError } from '../../plugins/errors/catalogue.ts'

/**
 * Headers of requests that a browser or a framework sends ahead of a click, or instead of one: `Sec-Purpose`,
 * `Purpose`, `X-Purpose`, `X-Sec-Purpose` (Turbo), `Sec-Speculation-Tags`, `Next-Router-Prefetch`,
 * `X-Middleware-Prefetch`, `HX-Preloaded` and others. Not `Service-Worker-Navigation-Preload`, which comes with a click.
 */
const speculativeName =
  /^(x-)?(sec-)?purpose$|prefetch|prerender|^(x-|hx-)?preload(ed)?$|^sec-speculation-tags$/i

/** The same as a value: `X-Moz: prefetch`. */
const speculativeValue = /^\s*(prefetch|prerender|preload)\s*([;,].*)?$/i

/**
 * Whether a person goes to this page. Scripts, elements, frames and whatever is fetched in advance say otherwise;
 * browsers without Fetch Metadata say nothing.
 *
 * @see https://www.w3.org/TR/fetch-metadata/ and https://wicg.github.io/nav-speculation/prefetch.html#sec-purpose-header
 */
export function isPersonsNavigation(headers: IncomingHttpHeaders): boolean {
  const { 'sec-fetch-dest': destination = 'document' } = headers
  const isPage = destination === 'document' || isByServiceWorker(headers)
  return isNavigation(headers) && isPage && !isSpeculative(headers)
}

/**
 * A service worker of the frontend has passed a navigation on (`fetch(event.request)`). Chromium then names no
 * destination, and `same-origin` as the site, also when another site's link began the navigation.
 */
export function isByServiceWorker(headers: IncomingHttpHeaders): boolean {
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'empty'
}

/** Scripts can't follow a login to the issuer's page. @throws GatewayError BFF_LOGIN_REJECTED */
export function rejectUnlessNavigation(headers: IncomingHttpHeaders): void {
  if (isNavigation(headers)) return
  throw new GatewayError('BFF_LOGIN_REJECTED', { details: 'Only a navigation to this page logs in' })
}

/** In a frame too, of which early Chromium versions with Fetch Metadata said `nested-navigate`. */
function isNavigation(headers: IncomingHttpHeaders): boolean {
  const { 'sec-fetch-mode': mode = 'navigate' } = headers
  return mode === 'navigate' || mode === 'nested-navigate' || isNodeFetch(headers)
}

/**
 * Node's `fetch`, with which smoke tests sign in, says `cors` of everything and never a destination. Browsers that send
 * a mode send a destination too, whatever their scripts set.
 */
function isNodeFetch({ 'sec-fetch-dest': destination, 'user-agent': agent }: IncomingHttpHeaders): boolean {
  return destination === undefined && (agent === 'node' || agent === 'undici')
}

function isSpeculative(headers: IncomingHttpHeaders): boolean {
  return Object.entries(headers).some(
    ([name, value]) =>
      speculativeName.test(name) || [value].flat().some((one) => speculativeValue.test(one ?? '')),
  )
}
