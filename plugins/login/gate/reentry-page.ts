import { createHash } from 'node:crypto'

/**
 * Going to the same URL again would only scroll if it has a fragment, so the page first takes on another one. Where
 * the refresh leads is settled before: the element stands above the script.
 */
const script = `if (location.hash) history.replaceState(null, '', '?again')`

/**
 * Asks for the same URL once more, from a page of our own origin. The URL doesn't stand in it, so nothing of it can
 * be taken for HTML: the browser knows where it is, fragment included.
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

/** It is nobody's to keep, to frame or to add to. */
export const reentryHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': `default-src 'none'; script-src 'sha256-${sha256(script)}'; frame-ancestors 'self'`,
  'content-type': 'text/html; charset=utf-8',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
