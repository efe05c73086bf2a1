import { z } from 'zod'
import { mask, maskPassword } from './mask.ts'
import { duration, facts, list, parsed, wholeNumber } from './option.ts'
import { cookieName, key, line, makeKey, path } from './parsers.ts'
import { redisUrl } from './urls.ts'

const sealingKey = parsed(key, { show: (bytes) => bytes.toString('base64') })

// zod's `min(1)` keeps the type of an array that may be empty.
const keys = z.array(sealingKey).min(1, `must hold at least one key: ${makeKey}`) as unknown as z.ZodType<
  [Buffer, ...Buffer[]],
  string[]
>

/** Sessions: lifetimes, keys, cookie and store. */
export const sessionShape = {
  session: z.strictObject({
    keys: list(keys, {
      written: z.union([z.string(), z.instanceof(Buffer)]),
    }).register(facts, {
      env: 'SESSION_KEYS',
      defaultText: 'random outside production (with a warning), required in production',
      missing: makeKey,
      secret: (keys) => keys.replaceAll(/[^,]+/g, mask),
      meaning: 'Comma-separated base64 32-byte keys; the first seals, all open (rotation)',
    }),
    idleTimeout: duration('1s', '400d').prefault('8h').register(facts, {
      env: 'SESSION_IDLE_TIMEOUT',
      meaning:
        'How long a session lives after it was last used (sliding); unset, never longer than `{session.lifetime}`',
    }),
    lifetime: duration('1s', '400d').prefault('7d').register(facts, {
      env: 'SESSION_LIFETIME',
      meaning: 'How long a session lives at the most (absolute)',
    }),
    binding: z
      .enum(['auto', 'required', 'off'], 'must be one of auto, required, off')
      .prefault('auto')
      .register(facts, {
        env: 'SESSION_BINDING',
        defaultText: '`auto` on https, `off` on http',
        meaning:
          "Device Bound Session Credentials: `auto` binds a session to the browser's device where the browser can, `required` refuses sessions that are not bound within a minute, `off`",
      }),
    maxPerUser: wholeNumber(1, 10_000).prefault(100).register(facts, {
      env: 'SESSION_MAX_PER_USER',
      meaning: 'The most sessions that one user has at a time; with one more, the oldest ends',
    }),
  }),
  cookie: z
    .strictObject({
      name: parsed(cookieName).prefault('bff').register(facts, {
        env: 'COOKIE_NAME',
        defaultText: '`__Host-bff` on https, `bff` on http',
        meaning: 'Name of the session cookie; `__Host-`, `__Secure-` and `__Http-` need https',
      }),
      sameSite: z
        .enum(['strict', 'lax', 'none'], 'must be one of strict, lax, none')
        .prefault('strict')
        .register(facts, {
          env: 'COOKIE_SAMESITE',
          meaning: '`strict`, `lax` or `none` (which needs https)',
        }),
    })
    .prefault({}),
  redisUrl: parsed(redisUrl).optional().register(facts, {
    env: 'REDIS_URL',
    secret: maskPassword,
    meaning:
      'Where sessions are kept: `redis://host:port`, `sentinel://host:port,…/master-name` or `cluster://host:port,…`; `rediss://`, `sentinels://` and `clusters://` over TLS ([Redis](docs/redis.md)). Unset: in the memory of this one process',
  }),
  redis: z
    .strictObject({
      caFile: parsed(path).optional().register(facts, {
        env: 'REDIS_CA_FILE',
        file: 'path',
        meaning:
          "PEM file with the certificates to trust instead of the system's, for Redis and Sentinels over TLS. These three files are read again for each new connection",
      }),
      certFile: parsed(path).optional().register(facts, {
        env: 'REDIS_CERT_FILE',
        file: 'path',
        meaning: 'PEM file with the client certificate towards Redis and Sentinels',
      }),
      keyFile: parsed(path).optional().register(facts, {
        env: 'REDIS_KEY_FILE',
        file: 'path',
        meaning: "PEM file with the client certificate's private key, not encrypted",
      }),
      sentinelPassword: parsed(line).optional().register(facts, {
        env: 'REDIS_SENTINEL_PASSWORD',
        secret: true,
        defaultText: 'the password in `{redisUrl}`',
        meaning: 'Password of the Sentinels, where it is not that of Redis',
      }),
    })
    .optional(),
  storeTimeout: duration('100ms', '1m').prefault('5s').register(facts, {
    env: 'STORE_TIMEOUT',
    meaning:
      'How long a request waits for a Redis that does not answer before it gets 503: a shorter failover causes a delay and no error',
  }),
  refreshBeforeExpiration: duration('100ms', '1d').prefault('60s').register(facts, {
    env: 'REFRESH_BEFORE_EXPIRATION',
    meaning: "How long before its expiry an access token is renewed (at most half the token's lifetime)",
  }),
}
