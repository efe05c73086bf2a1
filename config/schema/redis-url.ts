import { isIPv6 } from 'node:net'

export interface RedisAddress {
  host: string
  port: number
}

export interface RedisCredentials {
  username?: string
  password?: string
}

/** Addresses and topology of Redis, and whether to use TLS. */
export type RedisTarget = { credentials: RedisCredentials; tls: boolean } & (
  | { kind: 'single'; node: RedisAddress; db: number }
  | { kind: 'sentinel'; sentinels: RedisAddress[]; masterName: string; db: number }
  | { kind: 'cluster'; nodes: RedisAddress[] }
)

const FORMS =
  'redis://[user:password@]host[:port][/db], sentinel://[user:password@]host[:port],…/master-name[/db], ' +
  'cluster://[user:password@]host[:port],…, and the same over TLS: rediss://, sentinels://, clusters://'

/**
 * Parses the address of a single Redis (`redis://`), of one that Sentinels watch (`sentinel://`) or of a Cluster
 * (`cluster://`). `rediss://`, `sentinels://` and `clusters://` are the same over TLS.
 * @throws TypeError with the fault, which repeats nothing of the URL, as it may contain a password
 */
export function parseRedisUrl(url: string): RedisTarget {
  const [, scheme, s, rest = ''] = /^(redis|sentinel|cluster)(s?):\/\/(.*)$/is.exec(url.trim()) ?? []
  if (!scheme) throw fault('has none of the known forms')
  if (/[?#]/.test(rest))
    throw fault('has a query or fragment, which means nothing here (encode ? and # in a password)')

  // The last @ divides, so that a password with an unencoded @ or / doesn't end up in a host name.
  const at = rest.lastIndexOf('@')
  const common = { credentials: at < 0 ? {} : parseCredentials(rest.slice(0, at)), tls: s !== '' }
  const [hosts = '', ...path] = rest.slice(at + 1).split('/')
  const addresses = (defaultPort: number) => hosts.split(',').map((host) => parseAddress(host, defaultPort))

  switch (scheme.toLowerCase()) {
    case 'sentinel': {
      const [masterName = '', ...db] = path
      if (!/^[\w.-]+$/.test(masterName))
        throw fault("lacks the master's name, as in sentinel://host:port/master-name")
      return {
        kind: 'sentinel',
        sentinels: addresses(26379),
        masterName,
        db: parseDatabase(db.join('/')),
        ...common,
      }
    }
    case 'cluster':
      if (path.join('/')) throw fault('has a path, but a Cluster has only database 0')
      return { kind: 'cluster', nodes: addresses(6379), ...common }
    default: {
      const [node, ...others] = addresses(6379)
      if (!node || others.length > 0) throw fault('names several hosts: use sentinel:// or cluster://')
      return { kind: 'single', node, db: parseDatabase(path.join('/')), ...common }
    }
  }
}

function parseDatabase(text: string): number {
  if (!/^\d{0,4}$/.test(text)) throw fault('has a database that is not a number')
  return Number(text)
}

function parseCredentials(text: string): RedisCredentials {
  const colon = text.indexOf(':')
  if (colon < 0)
    throw fault('has a user without a password (a password alone is written redis://:password@host)')
  const username = decode(text.slice(0, colon))
  const password = decode(text.slice(colon + 1))
  return { ...(username && { username }), ...(password && { password }) }
}

function parseAddress(text: string, defaultPort: number): RedisAddress {
  const [, bracketed, plain, digits] =
    /^(?:\[([\da-f:.]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/i.exec(text.trim()) ?? []
  const host = bracketed ?? plain
  const port = digits ? Number(digits) : defaultPort
  const known = bracketed === undefined ? plain !== undefined : isIPv6(bracketed)
  if (!host || !known || port < 1 || port > 65_535)
    throw fault('has a host or port that is missing or malformed')
  return { host, port }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw fault('has a user or password with a % that is not percent-encoded as %25')
  }
}

function fault(what: string): TypeError {
  return new TypeError(`The Redis URL ${what}. Known forms: ${FORMS}`)
}
