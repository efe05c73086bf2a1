import type { InlineCode } from './inline-code.ts'

export interface PagePolicyOptions {
  /** Whether browsers reach the gateway over https. */
  https: boolean
  issuerOrigin: string
  /** Directives that widen the policy, each as `name source …`. */
  widening: string[]
}

/** The value of `Content-Security-Policy` for a page with this inline code, or for a file without any. */
export type PagePolicy = (code?: InlineCode) => string

type Directives = Map<string, string[]>

/**
 * The policy of pages that we serve: scripts of our own origin, and those that stand in the page itself, by their
 * hashes. Configured sources are added to those that a directive has, or would have by its fallback.
 *
 * A frontend can add further restrictions with `<meta http-equiv="Content-Security-Policy">`.
 */
export function createPagePolicy({ https, issuerOrigin, widening }: PagePolicyOptions): PagePolicy {
  const base: Directives = new Map([
    ['default-src', ["'self'"]],
    ['base-uri', ["'self'"]],
    ['font-src', ["'self'", 'https:', 'data:']],
    ['form-action', ["'self'"]],
    ['frame-ancestors', ["'self'"]],
    // A silent login loads the issuer in a frame.
    ['frame-src', ["'self'", issuerOrigin]],
    // `blob:`: an API's images are fetched by a script, with the CSRF header.
    ['img-src', ["'self'", 'https:', 'data:', 'blob:']],
    ['object-src', ["'none'"]],
    ['script-src', ["'self'"]],
    ['script-src-attr', ["'none'"]],
    // Many frameworks add style elements at run time.
    ['style-src', ["'self'", 'https:', "'unsafe-inline'"]],
    // Without TLS, browsers would request everything over https.
    ...(https ? ([['upgrade-insecure-requests', []]] as [string, string[]][]) : []),
  ])
  for (const text of widening) {
    const [name = '', ...sources] = text.split(' ')
    widen(base, name, sources)
  }
  const plain = textOf(base)
  return ({ scripts, handlers } = { scripts: [], handlers: [] }) => {
    if (scripts.length === 0 && handlers.length === 0) return plain
    const directives = new Map(base)
    allowInline(directives, 'script-src', scripts)
    if (directives.has('script-src-elem')) allowInline(directives, 'script-src-elem', scripts)
    if (handlers.length > 0) allowInline(directives, 'script-src-attr', ["'unsafe-hashes'", ...handlers])
    return textOf(directives)
  }
}

/** Whether pages of other origins may frame ours. `X-Frame-Options` can't express that. */
export function allowsFraming(widening: string[]): boolean {
  return widening.some((text) => text.startsWith('frame-ancestors '))
}

/** A hash would make browsers ignore `'unsafe-inline'`. */
function allowInline(directives: Directives, name: string, sources: string[]): void {
  const present = sourcesOf(directives, name)
  if (!present.includes("'unsafe-inline'")) widen(directives, name, sources)
}

function widen(directives: Directives, name: string, sources: string[]): void {
  const present = sourcesOf(directives, name).filter((source) => source !== "'none'")
  directives.set(name, [...new Set([...present, ...sources])])
}

/** Directives that a browser uses instead of one that is missing. @see https://www.w3.org/TR/CSP3/#directive-fallback-list */
const fallbacks: Record<string, string[]> = {
  'script-src-elem': ['script-src', 'default-src'],
  'script-src-attr': ['script-src', 'default-src'],
  'style-src-elem': ['style-src', 'default-src'],
  'style-src-attr': ['style-src', 'default-src'],
  'worker-src': ['child-src', 'script-src', 'default-src'],
  'child-src': ['default-src'],
  'connect-src': ['default-src'],
  'manifest-src': ['default-src'],
  'media-src': ['default-src'],
}

function sourcesOf(directives: Directives, name: string): string[] {
  const names = [name, ...(fallbacks[name] ?? [])]
  return names.map((one) => directives.get(one)).find((sources) => sources !== undefined) ?? []
}

function textOf(directives: Directives): string {
  return [...directives].map(([name, sources]) => [name, ...sources].join(' ')).join(';')
}
