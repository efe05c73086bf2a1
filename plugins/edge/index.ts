import { randomUUID } from 'node:crypto'
import { METHODS, type RequestListener, type Server } from 'node:http'
import { type FastifyHttpOptions, type FastifyInstance, LogController } from 'fastify'
import { basePath, type GatewayOptions } from '../../config/index.ts'
import { type Limits, maxBodyBytes, maxHeaderBytes } from '../../http/limits.ts'
import { routableUrl } from '../../http/path.ts'
import { answerBadUrl, answerMalformed } from '../errors/index.ts'
import { loggerOptions } from '../logging/logger-options.ts'
import { createTlsServer, type Http1Options } from './tls-server.ts'
import { mayUpgrade } from './upgrade.ts'

/** All that Node can parse: a method that nobody routes is 404, where it should be 405 as others that are not allowed. */
export function routeEveryMethod(app: FastifyInstance): void {
  // Node makes an event of its own of CONNECT.
  const others = METHODS.filter((method) => method !== 'CONNECT' && !app.supportedMethods.includes(method))
  for (const method of others) app.addHttpMethod(method)
}

export interface LogStream {
  write(line: string): void
}

/** What the gateway's own server needs of Fastify and of Node, before any plugin is there. */
export function serverOptions(
  { publicUrl, trustProxy, logLevel, tls, keepAliveTimeoutMs, upstreams }: GatewayOptions,
  loginUrl: string,
  { headersTimeoutMs }: Limits,
  logStream?: LogStream,
): FastifyHttpOptions<Server> {
  const base = basePath(publicUrl)
  const prefixes = upstreams.map(({ prefix }) => prefix)
  const http: Http1Options = {
    // Together with all else that is wrong with a `Host`, see host.ts.
    requireHostHeader: false,
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    connectionsCheckingInterval: Math.ceil(headersTimeoutMs / 6),
    shouldUpgradeCallback: mayUpgrade,
  }
  return {
    logger: { ...loggerOptions(logLevel), ...(logStream && { stream: logStream }) },
    // Its lines hold whole URLs, and with them authorization codes.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    // Fastify itself takes a number for distrust, since whoever reaches it directly can claim any number of hops.
    trustProxy: typeof trustProxy === 'number' ? (_address, hop) => hop < trustProxy : trustProxy,
    // A URL that can't be routed reaches no error handler.
    frameworkErrors: answerBadUrl(loginUrl),
    // Nor does what is no HTTP.
    clientErrorHandler: answerMalformed,
    // Proxies in front differ in whether they take the base path away.
    rewriteUrl: ({ url = '/' }) => routableUrl(withoutBase(url, base), prefixes),
    // Requests on connections that are still open when closing begins are answered, not refused.
    return503OnClosing: false,
    keepAliveTimeout: keepAliveTimeoutMs,
    bodyLimit: maxBodyBytes,
    http,
    // `https` is for its log line alone.
    ...(tls && {
      https: {},
      serverFactory: (listener: RequestListener) => createTlsServer(listener, http, keepAliveTimeoutMs),
    }),
  }
}

function withoutBase(url: string, base: string): string {
  if (!base || !url.startsWith(base)) return url
  const rest = url.slice(base.length)
  if (rest.startsWith('/')) return rest
  return rest === '' || rest.startsWith('?') ? `/${rest}` : url
}
