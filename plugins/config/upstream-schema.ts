import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { z } from 'zod'
import { type Described, tokenParameters } from '../oidc-session/token-target.ts'
import { duration } from './duration.ts'
import { type Files, readingFault } from './files.ts'
import { quote } from './mask.ts'
import { type TokenKind, tokenKinds, type UpstreamOptions } from './options.ts'
import { cookieName, oneOf, type Parser } from './parsers.ts'
import { baseUrl, isPlainHttp } from './urls.ts'

/** What an upstream in the file may say. */
export const upstreamKeys = [
  'prefix',
  'target',
  'token',
  'scope',
  'resource',
  'audience',
  'exchange',
  'insecure',
  'ca',
  'connectTimeout',
  'timeout',
  'responseCookies',
]

/** What an upstream is unless it says otherwise. */
export function upstreamDefaults() {
  return {
    token: 'user' as const,
    exchange: false,
    connectTimeoutMs: 5000,
    timeoutMs: 30_000,
    responseCookies: [] as string[],
  }
}

/**
 * One entry of `upstreams`.
 * @param insecure accepts plain http to any host; a parameter, so that a fault elsewhere in the entry hides none here
 * @param folder what a relative path is relative to
 */
export function upstreamSchema(insecure: boolean, folder: string, files: Files) {
  const timeout = duration('100ms', '1h')
  return z
    .strictObject(
      {
        prefix: text(
          pathPrefix,
          'is missing: name the path below which requests go to this upstream, such as /api',
        ),
        target: text(
          remoteApi(insecure),
          "is missing: give the remote API's URL, such as https://api.example.com",
        ),
        token: text(oneOf(...tokenKinds)).optional(),
        scope: text(scope).optional(),
        resource: text(resource).optional(),
        audience: text(audience).optional(),
        exchange: z.boolean('must be true or false').optional(),
        insecure: z.boolean('must be true or false').optional(),
        ca: text((value) => authorities(value, folder, files), '', { secret: true }).optional(),
        connectTimeout: text(timeout).optional(),
        timeout: text(timeout).optional(),
        responseCookies: z
          .array(text(cookieName), 'must be a list of cookie names, such as ["theme"]')
          .optional(),
      },
      {
        error: (issue) =>
          issue.code === 'invalid_type'
            ? 'must be an object: { "prefix": "/api", "target": "https://…" }'
            : undefined,
      },
    )
    .superRefine((given, context) => {
      const message = tokenFault(given)
      if (message) context.addIssue({ code: 'custom', message })
    })
    .transform((given): UpstreamOptions => {
      const defaults = upstreamDefaults()
      return {
        prefix: given.prefix,
        target: given.target,
        token: given.token ?? defaults.token,
        ...tokenParameters(given),
        exchange: given.exchange ?? defaults.exchange,
        ...(given.ca !== undefined && { ca: given.ca }),
        connectTimeoutMs: given.connectTimeout ?? defaults.connectTimeoutMs,
        timeoutMs: given.timeout ?? defaults.timeoutMs,
        responseCookies: given.responseCookies ?? defaults.responseCookies,
      }
    })
}

function text<T>(parse: Parser<T>, missing = 'is missing', { secret = false } = {}) {
  return z
    .string({ error: ({ input }) => (input === undefined ? missing : 'must be a string, in quotes') })
    .transform((value, context) => {
      try {
        return parse(value.trim())
      } catch (error) {
        const shown = secret ? '' : ` (it is ${quote(value)})`
        context.issues.push({ code: 'custom', message: (error as Error).message + shown, input: value })
        return z.NEVER
      }
    })
}

function remoteApi(insecure: boolean): Parser<URL> {
  const parse = baseUrl('https://api.example.com', { insecure: true })
  return (value) => {
    const target = parse(value)
    if (insecure || !isPlainHttp(target)) return target
    throw new TypeError(
      'must begin with https:// (or, in a network that you trust, have "insecure": true beside it)',
    )
  }
}

/** Literal segments only, since the router and the proxy must read it alike. */
function pathPrefix(prefix: string): string {
  const segments = prefix.slice(1).split('/')
  if (!prefix.startsWith('/') || !segments.every((segment) => /^(?!\.{1,2}$)[\w.~-]+$/.test(segment))) {
    throw new TypeError(
      'must be a plain path such as /api or /api/v2: letters, digits, - . _ ~, no slash at the end',
    )
  }
  if (/^\/(bff|healthz|readyz)(\/|$)/.test(prefix)) {
    throw new TypeError("is one of the gateway's own paths (/bff, /healthz, /readyz): choose another")
  }
  return prefix
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
function scope(value: string): string {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value)) return value
  throw new TypeError('must be scopes with one space between, such as orders.read orders.write')
}

/** @see https://www.rfc-editor.org/rfc/rfc8707#section-2 */
function resource(value: string): string {
  if (URL.canParse(value) && !value.includes('#')) return value
  throw new TypeError('must be an absolute URI without a fragment, such as https://api.example.com/orders')
}

function audience(value: string): string {
  if (value !== '') return value
  throw new TypeError('is empty: name the API as the issuer knows it, or leave it out')
}

/** A token that nobody asks for needs no description. */
function tokenFault({
  token = 'user',
  exchange,
  ...given
}: Described & { token?: TokenKind | undefined; exchange?: boolean | undefined }) {
  const [useless] = Object.keys(tokenParameters(given))
  if (token === 'none' && useless)
    return `has a ${useless}, but no token (token is none): remove one of the two`
  if (exchange && !token.startsWith('user')) {
    return `has exchange, but no user's token that could be exchanged (token is ${token}): remove one of the two`
  }
  if (exchange && !useless) {
    return 'has exchange, but not what for: add the audience, resource or scope of the token that is wanted'
  }
  return undefined
}

/** PEM certificates, given themselves or as the path of a file that holds them. */
function authorities(value: string, folder: string, files: Files): string {
  const pem = value.startsWith('-----BEGIN') ? value : readPem(resolve(folder, value), files)
  try {
    const found = certificates(pem)
    for (const certificate of found) new X509Certificate(certificate)
    if (found.length > 0) return pem
  } catch {
    // Node's message says no more than that it is no certificate.
  }
  throw new TypeError(
    'must be PEM certificates (-----BEGIN CERTIFICATE-----) or the path of a file that holds them',
  )
}

function readPem(path: string, files: Files): string {
  try {
    return files.readText(path)
  } catch (error) {
    throw new TypeError(`${readingFault(error)}: ${path}`)
  }
}

export function certificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}
