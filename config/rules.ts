import type { z } from 'zod'
import { isOwnCookie } from '../http/cookies.ts'
import { type Files, readOr, Unreadable } from './files.ts'
import type { OptionKey, optionsSchema } from './schema/index.ts'
import { makeKey } from './schema/parsers.ts'
import { certificatesFault, decryptionKeyFault, keyPairFaults, signingKeyFault } from './schema/pem.ts'
import { parseRedisUrl } from './schema/redis-url.ts'
import { type RuleFault, ruleBetween } from './schema/rule-between.ts'
import { basePath } from './schema/urls.ts'

type Values = z.output<typeof optionsSchema>

/** Rules between options, and rules about files that options name. `{cookie.name}` is replaced by that option's name. */
export function rulesOf(files: Files, isApiInTree: boolean): z.core.$ZodCheck<Values>[] {
  return [
    rule(['publicUrl', 'cookie.name'], ({ publicUrl, cookie }) => [
      publicUrl.protocol === 'http:' &&
        /^__(host|secure|http)-/i.test(cookie.name) &&
        '{cookie.name} begins with __Host-, __Secure- or __Http-, which browsers accept on https only: give {publicUrl} https or choose a name such as bff',
    ]),
    rule(['publicUrl', 'cookie.sameSite'], ({ publicUrl, cookie }) => [
      publicUrl.protocol === 'http:' &&
        cookie.sameSite === 'none' &&
        '{cookie.sameSite} is none, which browsers accept on https only: give {publicUrl} https or use strict or lax',
    ]),
    rule(['publicUrl', 'session.binding'], ({ publicUrl, session }) => [
      publicUrl.protocol === 'http:' &&
        session.binding === 'required' &&
        '{session.binding} is required, which browsers can do on https only: give {publicUrl} https or use auto or off',
    ]),
    rule(['oidc.clientSecret', 'oidc.clientPrivateKeyFile', 'oidc.clientAuth'], ({ oidc }) => [
      oidc.clientSecret !== undefined &&
        oidc.clientPrivateKeyFile !== undefined &&
        oidc.clientAuth === undefined &&
        '{oidc.clientSecret} and {oidc.clientPrivateKeyFile} are both set: remove one, or name the one to authenticate with by {oidc.clientAuth}',
    ]),
    rule(
      ['oidc.clientAuth', 'oidc.clientSecret', 'oidc.clientPrivateKeyFile', 'oidc.clientCertFile'],
      ({ oidc }) => {
        const needed = credentialOf(oidc.clientAuth)
        return [
          needed &&
            oidc[needed] === undefined &&
            `{oidc.clientAuth} is ${oidc.clientAuth}, which needs {oidc.${needed}}: set it, or choose another method`,
        ]
      },
    ),
    rule(['oidc.requestObject', 'oidc.clientPrivateKeyFile'], ({ oidc }) => [
      oidc.requestObject === 'always' &&
        oidc.clientPrivateKeyFile === undefined &&
        '{oidc.requestObject} is always, which needs {oidc.clientPrivateKeyFile}: set it, or sign no requests',
    ]),
    rule(['oidc.idTokenAlg', 'oidc.clientSecret'], ({ oidc }) => [
      oidc.idTokenAlg?.startsWith('HS') &&
        oidc.clientSecret === undefined &&
        `{oidc.idTokenAlg} is ${oidc.idTokenAlg}, which is signed with {oidc.clientSecret}: set it, or choose another algorithm`,
    ]),
    rule(['session.idleTimeout', 'session.lifetime'], ({ session }) => [
      session.idleTimeout > session.lifetime &&
        '{session.idleTimeout} is longer than {session.lifetime}: make it shorter, or the lifetime longer',
    ]),
    rule(['staticDir', 'frontendUrl'], ({ staticDir, frontendUrl }) => [
      staticDir !== undefined &&
        frontendUrl !== undefined &&
        '{staticDir} and {frontendUrl} are both set: remove one, as the frontend comes from a folder or from its development server',
    ]),
    rule(['frontendUrl'], ({ publicUrl, port, frontendUrl }, isRight) => [
      frontendUrl &&
        ((isRight('publicUrl') && frontendUrl.origin === publicUrl.origin) ||
          (isRight('port') && isOnPort(frontendUrl, port))) &&
        '{frontendUrl} is the gateway itself: give it the address of the development server, such as http://localhost:5173',
    ]),
    rule(['port', 'metricsPort'], ({ port, metricsPort }) => [
      port !== 0 &&
        metricsPort === port &&
        '{metricsPort} is the same as {port}: give it another, since metrics are not for the public',
    ]),
    rule(['port', 'metricsPort', 'adminPort'], ({ port, metricsPort, adminPort }) => [
      adminPort !== undefined &&
        adminPort !== 0 &&
        (adminPort === port || adminPort === metricsPort) &&
        `{adminPort} is the same as ${adminPort === port ? '{port}' : '{metricsPort}'}: give it another, since it is for administrators only`,
    ]),
    rule(['adminPort', 'adminToken'], ({ adminPort, adminToken }) => [
      adminPort !== undefined &&
        adminToken === undefined &&
        `{adminPort} is set without {adminToken}, with which administrators authenticate: ${makeKey}`,
    ]),
    rule(['oidc.clientPrivateKeyFile'], ({ oidc }) => [
      fileFault('oidc.clientPrivateKeyFile', oidc.clientPrivateKeyFile, signingKeyFault, files),
    ]),
    rule(['oidc.decryptionKeyFile'], ({ oidc }) => [
      fileFault('oidc.decryptionKeyFile', oidc.decryptionKeyFile, decryptionKeyFault, files),
    ]),
    rule(['staticDir'], ({ staticDir }) => [
      staticDir !== undefined &&
        !files.isDirectory(staticDir) &&
        `{staticDir} must be a folder that exists (it is ${staticDir})`,
    ]),
    rule(['tls.certFile', 'tls.keyFile'], ({ tls }) =>
      pairFaults(['tls.certFile', tls?.certFile], ['tls.keyFile', tls?.keyFile], files),
    ),
    rule(['redis.certFile', 'redis.keyFile'], ({ redis: { certFile, keyFile } = {} }) =>
      pairFaults(['redis.certFile', certFile], ['redis.keyFile', keyFile], files),
    ),
    rule(['oidc.clientCertFile', 'oidc.clientKeyFile'], ({ oidc: { clientCertFile, clientKeyFile } }) =>
      pairFaults(['oidc.clientCertFile', clientCertFile], ['oidc.clientKeyFile', clientKeyFile], files),
    ),
    rule(['frontendCaFile'], ({ frontendCaFile }) => [
      fileFault('frontendCaFile', frontendCaFile, certificatesFault, files),
    ]),
    rule(['frontendUrl', 'frontendCaFile'], ({ frontendUrl, frontendCaFile }) => [
      frontendCaFile !== undefined &&
        frontendUrl?.protocol !== 'https:' &&
        '{frontendCaFile} is set, but {frontendUrl} does not begin with https: remove one of the two, or change it',
    ]),
    rule(['redis.caFile'], ({ redis: { caFile } = {} }) => [
      fileFault('redis.caFile', caFile, certificatesFault, files),
    ]),
    rule(['redisUrl', 'redis.caFile', 'redis.certFile', 'redis.keyFile'], ({ redisUrl, redis = {} }) => {
      if (redisUrl === undefined || parseRedisUrl(redisUrl).tls) return []
      const given = (['caFile', 'certFile', 'keyFile'] as const).filter((name) => redis[name] !== undefined)
      return given.map(
        (name) =>
          `{redis.${name}} is set, but {redisUrl} is not over TLS: begin it with rediss://, sentinels:// or clusters://, or remove the file`,
      )
    }),
    rule(['apiUrl'], ({ upstreams }) => [
      // From the environment it wins over the file.
      isApiInTree &&
        list(upstreams).some((entry) => entry?.prefix === '/api') &&
        '{apiUrl} and an entry of upstreams both say where /api leads: keep one of the two',
    ]),
    rule([], ({ upstreams }) => repeatedPrefixes(upstreams)),
    rule(['publicUrl'], ({ publicUrl, apiUrl, upstreams }, isRight) => {
      const base = basePath(publicUrl)
      const rightOnes = list(upstreams).filter((_, index) => isRight(`upstreams.${index}.prefix`))
      const prefixes = new Set([
        ...(apiUrl && isRight('apiUrl') ? ['/api'] : []),
        ...rightOnes.map((one) => one?.prefix),
      ])
      return [...prefixes].map(
        (prefix) =>
          prefix !== undefined &&
          base !== '' &&
          (isBelow(prefix, base) || isBelow(base, prefix)) &&
          `The upstream at ${prefix} and the path ${base} of {publicUrl} overlap, so that a request could mean either: choose another prefix`,
      )
    }),
    rule(['cookie.name'], ({ cookie, upstreams }, isRight) =>
      list(upstreams).flatMap((upstream, index) =>
        isRight(`upstreams.${index}`) ? ownCookies(upstream, cookie.name) : [],
      ),
    ),
  ]
}

function rule(
  options: OptionKey[],
  faultsOf: (values: Values, isRight: (path: string) => boolean) => RuleFault[],
): z.core.$ZodCheck<Values> {
  return ruleBetween<Values>(options, faultsOf)
}

/** Plain http is for this machine, on the gateway's own port. */
function isOnPort({ protocol, port }: URL, own: number): boolean {
  return protocol === 'http:' && Number(port || 80) === own
}

/** Why a file can't be used, if an option names one. @param faultOf what is wrong with its content */
function fileFault(
  option: OptionKey,
  path: string | undefined,
  faultOf: (text: string) => string | undefined,
  files: Files,
): RuleFault {
  const text = path === undefined ? undefined : readOr(path, files)
  const fault = text instanceof Unreadable ? text.message : text !== undefined && faultOf(text)
  return fault && `{${option}} ${fault} (it is ${path})`
}

/** An option that names a file, and its value if it is set. */
type FileOption = [name: OptionKey, path: string | undefined]

/** A certificate and its key: both or neither, and a pair. */
function pairFaults(certOption: FileOption, keyOption: FileOption, files: Files): RuleFault[] {
  const [[certName, certPath], [keyName, keyPath]] = [certOption, keyOption]
  if (certPath === undefined && keyPath === undefined) return []
  const why = 'a certificate needs its key'
  if (keyPath === undefined) return [`{${certName}} is set without {${keyName}}: ${why}`]
  if (certPath === undefined) return [`{${keyName}} is set without {${certName}}: ${why}`]
  const options = { cert: certOption, key: keyOption }
  const told = (file: 'cert' | 'key', message: string) =>
    `{${options[file][0]}} ${message} (it is ${options[file][1]})`
  const [cert, key] = [readOr(certPath, files), readOr(keyPath, files)]
  if (cert instanceof Unreadable || key instanceof Unreadable) {
    return [
      cert instanceof Unreadable && told('cert', cert.message),
      key instanceof Unreadable && told('key', key.message),
    ]
  }
  return keyPairFaults({ cert, key }).map(({ file, message }) => told(file, message))
}

/** The option without which a client authentication can't be used. */
function credentialOf(
  method: Values['oidc']['clientAuth'],
): 'clientSecret' | 'clientPrivateKeyFile' | 'clientCertFile' | undefined {
  if (method?.startsWith('client_secret_')) return 'clientSecret'
  if (method === 'private_key_jwt') return 'clientPrivateKeyFile'
  return method?.endsWith('tls_client_auth') ? 'clientCertFile' : undefined
}

/** Includes invalid entries whose prefix is a string. */
function repeatedPrefixes(upstreams: unknown): RuleFault[] {
  const prefixes = list(upstreams as Values['upstreams']).map((entry) => entry?.prefix)
  return prefixes.map((prefix, index) => {
    const first = prefixes.indexOf(prefix)
    if (typeof prefix !== 'string' || first === index) return undefined
    return [['upstreams', index, 'prefix'], `is taken by upstreams[${first}]: give each a prefix of its own`]
  })
}

function ownCookies(
  { prefix, requestCookies, responseCookies }: Values['upstreams'][number],
  sessionCookie: string,
): RuleFault[] {
  const own = [...new Set([...requestCookies, ...responseCookies])].filter((name) =>
    isOwnCookie(name, sessionCookie),
  )
  return own.map(
    (name) =>
      `The upstream at ${prefix} names the cookie ${name}, which is the gateway's own and passes neither way: remove it, or choose another {cookie.name}`,
  )
}

function isBelow(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`)
}

/** Undefined if it is no list, which is a separate fault. */
function list<T>(value: T[]): T[] {
  return Array.isArray(value) ? value : []
}
