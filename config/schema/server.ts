import { z } from 'zod'
import { duration, facts, parsed, wholeNumber } from './option.ts'
import { host, path, trustProxy } from './parsers.ts'

/** 0 lets the system choose. */
export const port = wholeNumber(0, 65_535, 'a port, ')

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** Where and how the process listens. With the plugin the application decides this. */
export const listenShape = {
  host: parsed(host).prefault('0.0.0.0').register(facts, { env: 'HOST', meaning: 'Address to listen on' }),
  port: port
    .prefault(3000)
    .register(facts, { env: 'PORT', meaning: 'Port to listen on; `0` takes any free one' }),
  tls: z
    .strictObject({
      certFile: parsed(path).register(facts, {
        env: 'TLS_CERT_FILE',
        file: 'path',
        missing: 'TLS needs it beside {tls.keyFile}, and plain HTTP neither',
        meaning:
          'PEM file with the certificate, and after it its chain, for TLS of its own with HTTP/2; read again when it changes. Unset: plain HTTP. Set, the default of `{publicUrl}` begins with https',
      }),
      keyFile: parsed(path).register(facts, {
        env: 'TLS_KEY_FILE',
        file: 'path',
        missing: 'TLS needs it beside {tls.certFile}, and plain HTTP neither',
        meaning: "PEM file with the certificate's private key, not encrypted",
      }),
    })
    .optional(),
  trustProxy: parsed(trustProxy, {
    written: z.union([z.boolean(), z.int(), z.string(), z.array(z.string())]),
    separator: ',',
  })
    .prefault(false)
    .register(facts, {
      env: 'TRUST_PROXY',
      meaning:
        "Which proxies in front may say who the client is (Fastify's `trustProxy`): `true`, a hop count or a comma-separated list of addresses and CIDR ranges",
    }),
  logLevel: z
    .enum(levels, `must be one of ${levels.join(', ')}`)
    .prefault('info')
    .register(facts, {
      env: 'LOG_LEVEL',
      meaning: 'pino level: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
    }),
}

/** Also options of the process. */
export const processShape = {
  keepAliveTimeout: duration('1s', '1h').prefault('75s').register(facts, {
    env: 'KEEP_ALIVE_TIMEOUT',
    meaning:
      'How long an idle client connection is kept; longer than a load balancer in front keeps its own, or it would send a request on one that is just closing',
  }),
  shutdown: z
    .strictObject({
      delay: duration('0s', '10m').prefault('5s').register(facts, {
        env: 'SHUTDOWN_DELAY',
        meaning:
          'After SIGTERM: how long `/readyz` answers 503 and answers carry `Connection: close` before the listener closes (SIGINT: none)',
      }),
      timeout: duration('0s', '1h')
        .prefault('30s')
        .register(facts, { env: 'SHUTDOWN_TIMEOUT', meaning: 'Then: deadline for requests in flight' }),
    })
    .prefault({}),
}
