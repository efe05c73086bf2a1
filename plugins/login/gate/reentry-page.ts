import { hashSource } from '../../../http/html.ts'

/**
 * With a fragment, navigating to the same URL would only scroll, so the script first changes the page's URL. The
 * refresh still goes to the original URL: it is resolved before, because its element precedes the script.
 */
const script = `if (location.hash) history.replaceState(null, '', '?again')`

/**
 * Requests the same URL again, from a page of our own origin. The page does not contain the URL, so it can't be used to
 * inject HTML: a refresh without URL reloads the current one, fragment included.
 */
export const reentryPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="0">
<title>One moment</title>
<script>${script}</script>
<p><a href="">Continue</a></p>
</html>
`

/** No caching, no framing by other sites, no further content. */
export const reentryHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': `default-src 'none'; script-src ${hashSource(script)}; frame-ancestors 'self'`,
  'content-type': 'text/html; charset=utf-8',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
}
