import { z } from 'zod'
import { duration } from './duration.ts'
import type { Files } from './files.ts'
import { quote } from './mask.ts'
import { type Method, methods, tokenKinds, type UpstreamOptions } from './options.ts'
import { cookieName, oneOf, type Parser } from './parsers.ts'
import { ruleBetween } from './rules-between.ts'
import { requestHeader, responseHeader } from './upstream-headers.ts'
import { pemCertificates, pemPrivateKey, serverName, tlsFaults } from './upstream-tls.ts'
import { audience, resource, scope, tokenFault } from './upstream-token.ts'
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
  'methods',
  'csrf',
  'insecure',
  'ca',
  'clientCert',
  'clientKey',
  'serverName',
  'http2',
  'connections',
  'connectTimeout',
  'timeout',
  'keepAliveTimeout',
  'requestHeaders',
  'requestCookies',
  'responseHeaders',
  'responseCookies',
]

/** What an upstream is unless it says otherwise. */
export function upstreamDefaults() {
  return {
    token: 'user' as const,
    exchange: false,
    methods: [...methods],
    csrf: true,
    http2: false,
    connectTimeoutMs: 5000,
    timeoutMs: 30_000,
    requestCookies: [] as string[],
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
        exchange: flag.optional(),
        methods: list(text(method), 'methods, such as ["GET", "POST"]')
          .min(1, 'must name a method, such as ["GET"]')
          .optional(),
        csrf: flag.optional(),
        insecure: flag.optional(),
        ca: text(pemCertificates(folder, files), '', { secret: true }).optional(),
        clientCert: text(pemCertificates(folder, files), '', { secret: true }).optional(),
        clientKey: text(pemPrivateKey(folder, files), '', { secret: true }).optional(),
        serverName: text(serverName).optional(),
        http2: flag.optional(),
        connections: z
          .int('must be a whole number, without quotes')
          .min(1, 'must be 1 or more')
          .max(10_000, 'must be 10000 or less')
          .optional(),
        connectTimeout: text(timeout).optional(),
        timeout: text(timeout).optional(),
        keepAliveTimeout: text(duration('1s', '10m')).optional(),
        requestHeaders: list(text(requestHeader), 'header names, such as ["accept-language"]').optional(),
        requestCookies: list(text(cookieName), 'cookie names, such as ["theme"]').optional(),
        responseHeaders: list(text(responseHeader), 'header names, such as ["etag"]').optional(),
        responseCookies: list(text(cookieName), 'cookie names, such as ["theme"]').optional(),
      },
      {
        error: (issue) =>
          issue.code === 'invalid_type'
            ? 'must be an object: { "prefix": "/api", "target": "https://…" }'
            : undefined,
      },
    )
    .check(
      ruleBetween(['token', 'scope', 'resource', 'audience', 'exchange'], (value) => {
        const fault = tokenFault(value)
        return fault ? [[[], fault]] : []
      }),
      ruleBetween(['target', 'clientCert', 'clientKey', 'serverName', 'http2'], (value) =>
        tlsFaults(value.target, withoutUnset(value)).map(([key, message]) => [[key], message]),
      ),
    )
    .transform((given): UpstreamOptions => {
      const { insecure: _, connectTimeout, timeout, keepAliveTimeout, methods, ...rest } = given
      const said = {
        ...rest,
        methods: methods && withHead(methods),
        connectTimeoutMs: connectTimeout,
        timeoutMs: timeout,
        keepAliveTimeoutMs: keepAliveTimeout,
      }
      return { ...upstreamDefaults(), ...withoutUnset(said) }
    })
}

type Given<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

function withoutUnset<T extends object>(said: T): Given<T> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Given<T>
}

/** Whoever may GET may HEAD. @see https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2 */
function withHead(given: Method[]): Method[] {
  return methods.filter((method) => given.includes(method) || (method === 'HEAD' && given.includes('GET')))
}

const flag = z.boolean('must be true or false')

function list<T extends z.ZodType>(entry: T, what: string) {
  return z.array(entry, `must be a list of ${what}`)
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

function method(text: string): Method {
  const known = methods.find((name) => name === text.toUpperCase())
  if (known === undefined) throw new TypeError(`must be one of ${methods.join(', ')}`)
  return known
}
