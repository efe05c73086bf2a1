import { escapeHtml } from '../../http/html.ts'
import type { GatewayError } from './catalogue.ts'

/** The error page for navigation. Plain HTML without scripts or styles, so any Content-Security-Policy allows it. */
export function errorPage(error: GatewayError, requestId: string, loginUrl: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(error.message)}</title>
<h1>${escapeHtml(error.message)}</h1>
<p>${escapeHtml(error.details)}</p>
<p><a href="${escapeHtml(loginUrl)}">Log in again</a></p>
<p><small>Request ${escapeHtml(requestId)}</small></p>
</html>
`
}

/** True if the client accepts HTML, as browsers do when they navigate. */
export function prefersPage(accept: string | undefined): boolean {
  return accept?.includes('text/html') ?? false
}
