import { z } from 'zod'
import { duration, facts, type Parser, parsed } from './option.ts'
import { cookieName } from './parsers.ts'
import { certificates, isPair, pemCertificates, pemPrivateKey } from './pem.ts'
import { type RuleFault, ruleBetween } from './rule-between.ts'
import {
  audience,
  type Method,
  method,
  methods,
  pathPrefix,
  requestHeader,
  resource,
  responseHeader,
  scope,
  serverName,
} from './upstream-values.ts'
import { baseUrl, formatUrl, isPlainHttp, url } from './urls.ts'

const flag = z.boolean('must be true or false')
const certificate = parsed(pemCertificates)
const timeout = duration('100ms', '1h')
const countCertificates = (pem: string) => `${certificates(pem).length} certificate(s)`

/** They are in JSON: values are typed, and none is in the environment. */
const shape = {
  prefix: parsed(pathPrefix).register(facts, {
    missing: 'name the path below which requests go to this upstream, such as /api',
    meaning:
      'Path below which requests go there: with the target `https://api.example.com/v2`, `/api/orders` becomes `/v2/orders`. The longest that fits wins, `/api/v2` over `/api`',
  }),
  target: url(baseUrl('https://api.example.com', { insecure: true })).register(facts, {
    missing: "give the remote API's URL, such as https://api.example.com",
    meaning: "URL of the API, with a base path if it has one. Requests can't leave that path",
  }),
  token: z
    .enum(
      ['user', 'client', 'user-or-client', 'user-or-none', 'none'],
      'must be one of user, client, user-or-client, user-or-none, none',
    )
    .prefault('user')
    .register(facts, {
      meaning:
        "`user`: the signed-in user's access token. `client`: the gateway's own, by client credentials; no session needed. `user-or-client` and `user-or-none`: the user's, or without a session the gateway's or none. `none`: no token, and no session needed",
    }),
  scope: parsed(scope)
    .optional()
    .register(facts, { meaning: 'Scopes of a [token for this API only](#tokens-of-an-apis-own)' }),
  resource: parsed(resource)
    .optional()
    .register(facts, { meaning: 'Likewise, its resource: an absolute URI (RFC 8707)' }),
  audience: parsed(audience)
    .optional()
    .register(facts, { meaning: 'Likewise, its audience, for issuers that identify APIs by it' }),
  exchange: flag
    .prefault(false)
    .register(facts, { meaning: "The API's token is exchanged for the user's (RFC 8693)" }),
  methods: z
    .codec(
      z
        .array(parsed(method), 'must be a list of methods, such as ["GET", "POST"]')
        .min(1, 'must name a method, such as ["GET"]'),
      z.custom<Method[]>(),
      { decode: withHead, encode: (known) => known },
    )
    .prefault([...methods])
    .register(facts, {
      defaultText: 'all seven',
      meaning:
        'Methods that may be used, of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS; any other is 405. GET includes HEAD. Where they are limited, `X-HTTP-Method-Override`, `X-HTTP-Method` and `X-Method-Override` are removed',
    }),
  csrf: flag.prefault(true).register(facts, {
    meaning:
      '`false`: the CSRF header is not demanded, for what a browser loads by itself. See [below](#without-the-csrf-header)',
  }),
  insecure: flag
    .prefault(false)
    .register(facts, { meaning: 'Allows plain http to hosts other than loopback' }),
  ca: certificate.optional().register(facts, {
    secret: countCertificates,
    file: 'content',
    defaultText: "the system's",
    meaning:
      'PEM certificates to trust instead, or the path of a file that holds them. Certificates are always verified',
  }),
  clientCert: certificate.optional().register(facts, {
    secret: countCertificates,
    file: 'content',
    meaning: 'PEM client certificate of the gateway (mutual TLS), or the path of a file that holds it',
  }),
  clientKey: parsed(pemPrivateKey).optional().register(facts, {
    secret: true,
    file: 'content',
    meaning: 'Its private key, without a passphrase, or the path of a file that holds it',
  }),
  serverName: parsed(serverName).optional().register(facts, {
    defaultText: "the target's host",
    meaning: "Name that the API's certificate must be for, and that is sent as SNI",
  }),
  http2: flag.prefault(false).register(facts, {
    meaning:
      'Offers HTTP/2 to the API, many requests at a time on each connection. WebSockets stay with HTTP/1.1. Requests under way are still answered when an API sends GOAWAY; a request that the API did not process is sent once more, unless its body was not kept',
  }),
  connections: z
    .int('must be a whole number, without quotes')
    .min(1, 'must be 1 or more')
    .max(10_000, 'must be 10000 or less')
    .optional()
    .register(facts, {
      defaultText: 'no limit',
      meaning:
        'The most connections, and requests at a time; others wait, for `timeout` at most, then get 504. An open stream counts, a WebSocket does not',
    }),
  connectTimeout: timeout.prefault('5s').register(facts, { meaning: 'For the connection' }),
  timeout: timeout.prefault('30s').register(facts, {
    meaning:
      "To the first byte of the answer; interim answers (1xx) don't extend it. Streams may then stay open; those that last longer end with the user's session",
  }),
  keepAliveTimeout: duration('1s', '10m').optional().register(facts, {
    defaultText: '`4s`, or what the API says',
    meaning:
      'How long an unused connection is kept at the most. Less than at the API, or it closes one just as a request is sent',
  }),
  requestHeaders: names(requestHeader, 'header names, such as ["accept-language"]')
    .optional()
    .register(facts, {
      defaultText: 'all',
      meaning: 'Names of the request headers that reach the API, besides those that the gateway sets',
    }),
  requestCookies: names(cookieName, 'cookie names, such as ["theme"]').prefault([]).register(facts, {
    meaning:
      "Names of the browser's cookies that reach the API; never the gateway's own, nor those of other frontends in the process",
  }),
  responseHeaders: names(responseHeader, 'header names, such as ["etag"]').optional().register(facts, {
    defaultText: '`[]`',
    meaning:
      'Names of headers of an answer that reach the browser besides [those that always do](#headers-of-an-answer)',
  }),
  responseCookies: names(cookieName, 'cookie names, such as ["theme"]').prefault([]).register(facts, {
    meaning: "Names of the API's cookies that reach the browser; all others are dropped",
  }),
}

/** One entry of `upstreams`. */
export const upstreamSchema = z
  .strictObject(shape, {
    error: ({ code }) =>
      code === 'invalid_type' ? 'must be an object: { "prefix": "/api", "target": "https://…" }' : undefined,
  })
  .check(
    ruleBetween<Upstream>(['token', 'scope', 'resource', 'audience', 'exchange'], tokenFaults),
    ruleBetween<Upstream>(['target'], plainHttpFaults),
    ruleBetween<Upstream>(['target', 'clientCert', 'clientKey', 'serverName', 'http2'], tlsFaults),
  )

type Upstream = z.output<typeof upstreamSchema>

/** Without a token of the API's own these options have no effect, and a token exchange needs one of them. */
function tokenFaults({
  token = 'user',
  exchange,
  scope,
  resource,
  audience,
}: Partial<Upstream>): RuleFault[] {
  const given = Object.entries({ scope, resource, audience }).filter(([, value]) => value !== undefined)
  const [described] = given[0] ?? []
  if (token === 'none' && described)
    return [`has a ${described}, but no token (token is none): remove one of the two`]
  return [
    exchange &&
      !token.startsWith('user') &&
      `has exchange, but no user's token that could be exchanged (token is ${token}): remove one of the two`,
    exchange &&
      token.startsWith('user') &&
      !described &&
      'has exchange, but not what for: add the audience, resource or scope of the token that is wanted',
  ]
}

function tlsFaults({ target, clientCert, clientKey, serverName, http2 }: Upstream): RuleFault[] {
  const onlyTls = Object.entries({ clientCert, clientKey, serverName, http2: http2 || undefined })
  const useless = target.protocol === 'http:' ? onlyTls.filter(([, value]) => value !== undefined) : []
  return [
    ...useless.map(([key]): RuleFault => [[key], 'needs a target with https: give it one, or remove this']),
    clientCert !== undefined &&
      clientKey === undefined && [
        ['clientKey'],
        'is missing: name the file with the private key of clientCert',
      ],
    clientKey !== undefined &&
      clientCert === undefined && [
        ['clientCert'],
        'is missing: name the file with the certificate of clientKey',
      ],
    clientCert !== undefined &&
      clientKey !== undefined &&
      !isPair(clientCert, clientKey) && [
        ['clientKey'],
        'is not the key of the first certificate in clientCert: name the one that is',
      ],
  ]
}

function plainHttpFaults({ target, insecure }: Upstream): RuleFault[] {
  if (insecure === true || !isPlainHttp(target)) return []
  const message =
    'must begin with https:// (or, in a network that you trust, have "insecure": true beside it)'
  return [[['target'], `${message} (it is "${formatUrl(target)}")`]]
}

function names(parse: Parser<string>, what: string) {
  return z.array(parsed(parse), `must be a list of ${what}`)
}

/** Where GET may be used, so may HEAD. @see https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2 */
function withHead(given: Method[]): Method[] {
  return methods.filter((method) => given.includes(method) || (method === 'HEAD' && given.includes('GET')))
}
