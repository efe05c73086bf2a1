import type { IncomingHttpHeaders } from 'node:http'
import { GatewayError } from '../../plugins/errors/catalogue.ts'

/**
 * Headers of speculative requests, which a browser or framework sends before or instead of a click: `Sec-Purpose`,
 * `Purpose`, `X-Purpose`, `X-Sec-Purpose` (Turbo), `Sec-Speculation-Tags`, `Next-Router-Prefetch`,
 * `X-Middleware-Prefetch`, `HX-Preloaded` and others. Not `Service-Worker-Navigation-Preload`, which is sent for a real navigation.
 */
const speculativeName =
  /^(x-)?(sec-)?purpose$|prefetch|prerender|^(x-|hx-)?preload(ed)?$|^sec-speculation-tags$/i

/** The same in a header's value: `X-Moz: prefetch`. */
const speculativeValue = /^\s*(prefetch|prerender|preload)\s*([;,].*)?$/i

/**
 * Whether the request is a user's navigation to this page, not one by a script, element, frame or prefetch. Browsers
 * without Fetch Metadata are let through.
 *
 * @see https://www.w3.org/TR/fetch-metadata/ and
 *   https://wicg.github.io/nav-speculation/prefetch.html#sec-purpose-header
 */
export function isPersonsNavigation(headers: IncomingHttpHeaders): boolean {
  const { 'sec-fetch-dest': destination = 'document' } = headers
  const isPage = destination === 'document' || isByServiceWorker(headers)
  return isNavigation(headers) && isPage && !isSpeculative(headers)
}

/**
 * Whether a service worker of the frontend has forwarded a navigation (`fetch(event.request)`). Chromium then sends an
 * empty destination and `same-origin`, even if a link on another site began the navigation.
 */
export function isByServiceWorker(headers: IncomingHttpHeaders): boolean {
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'empty'
}

/** Scripts can't follow a login to the issuer's page. @throws GatewayError BFF_LOGIN_REJECTED */
export function rejectUnlessNavigation(headers: IncomingHttpHeaders): void {
  if (isNavigation(headers)) return
  throw new GatewayError('BFF_LOGIN_REJECTED', { details: 'Only a navigation to this page logs in' })
}

/** Includes navigations in a frame, for which early Chromium versions with Fetch Metadata sent `nested-navigate`. */
function isNavigation(headers: IncomingHttpHeaders): boolean {
  const { 'sec-fetch-mode': mode = 'navigate' } = headers
  return mode === 'navigate' || mode === 'nested-navigate' || isNodeFetch(headers)
}

/**
 * Whether it is Node's `fetch`, which smoke tests use to sign in. It always sends the mode `cors` and no destination. A
 * browser that sends a mode always sends a destination, and scripts can't change that.
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
