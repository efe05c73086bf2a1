import { escapeHtml, hashSource } from '../../http/html.ts'
import { asQueryValue } from '../../http/path.ts'
import { type GatewayError, isResolvedByLogin } from './catalogue.ts'

export interface ErrorPageOptions {
  /** The login endpoint, as the browser sees it. */
  loginUrl: string
  /** The frontend's start page, likewise. */
  homeUrl: string
  /** Of the frontend. */
  name?: string | undefined
  /** As `#rrggbb` or `#rgb`. */
  color?: string | undefined
}

export interface ErrorPageContext {
  requestId: string
  /** The page that a login was to end at. */
  wantedUrl?: string | undefined
}

/** The page for navigation, which offers what may help, and headers for it. It has no scripts. */
export function errorPage(
  error: GatewayError,
  { requestId, wantedUrl }: ErrorPageContext,
  options: ErrorPageOptions,
): { html: string; headers: Record<string, string> } {
  const { name, color = '#2457a6' } = options
  const style = styleOf(color)
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(name === undefined ? error.message : `${error.message} · ${name}`)}</title>
<style>${style}</style>
<main>
${name === undefined ? '' : `<p class="name">${escapeHtml(name)}</p>\n`}<h1>${escapeHtml(error.message)}</h1>
<p>${escapeHtml(error.details)}</p>
<p class="links">${linksOf(error, wantedUrl, options).map(link).join('\n')}</p>
<p><small>Request ${escapeHtml(requestId)}</small></p>
</main>
</html>
`
  const policy = `default-src 'none';style-src ${hashSource(style)};frame-ancestors 'self'`
  return { html, headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy } }
}

/** True if the client accepts HTML, as browsers do when they navigate. */
export function prefersPage(accept: string | undefined): boolean {
  return accept?.includes('text/html') ?? false
}

type Link = [text: string, url: string]

function linksOf(error: GatewayError, wantedUrl: string | undefined, options: ErrorPageOptions): Link[] {
  const { loginUrl, homeUrl } = options
  const loginAgain = wantedUrl === undefined ? loginUrl : `${loginUrl}?returnUrl=${asQueryValue(wantedUrl)}`
  if (isResolvedByLogin(error.code)) {
    const again: Link = ['Log in again', loginAgain]
    return isCancelled(error) ? [...back(wantedUrl), again] : [again, ...back(wantedUrl)]
  }
  // An empty URL is that of this page.
  if (isTemporary(error))
    return [['Try again', wantedUrl === undefined ? '' : loginAgain], ...back(wantedUrl)]
  return [['Go to the start page', homeUrl]]
}

function back(wantedUrl: string | undefined): Link[] {
  return wantedUrl === undefined ? [] : [['Go back without logging in', wantedUrl]]
}

/**
 * A user who cancels wants to go back. The page leaves that to a click: at an issuer that refuses without asking, an
 * automatic redirect would loop for a frontend that logs in by itself.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
 */
function isCancelled({ cause }: GatewayError): boolean {
  return cause instanceof Error && 'oauthError' in cause && cause.oauthError === 'access_denied'
}

function isTemporary({ statusCode }: GatewayError): boolean {
  return statusCode === 429 || statusCode >= 500
}

function link([text, url]: Link): string {
  return `<a href="${escapeHtml(url)}">${text}</a>`
}

function styleOf(color: string): string {
  return `body{margin:0;font:1rem/1.5 system-ui,sans-serif}
main{max-width:32rem;margin:0 auto;padding:10vh 1.5rem 2rem}
h1{margin:.5rem 0;font-size:1.6rem;line-height:1.2}
.name{margin:0;padding-top:.75rem;border-top:.25rem solid ${color};font-weight:600}
.links{display:flex;flex-wrap:wrap;gap:.75rem 1.25rem;align-items:center;margin:1.5rem 0}
.links a:first-child{padding:.5rem 1rem;border-radius:.4rem;background:${color};color:${textOn(color)};text-decoration:none}`
}

/** Black or white, whichever has the better contrast. @see https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
function textOn(color: string): string {
  const digits = color.length === 4 ? color.replace(/[^#]/g, '$&$&') : color
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(digits.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
  return (luminance + 0.05) ** 2 > 1.05 * 0.05 ? '#000' : '#fff'
}
