import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate } from 'node:tls'

/** PEM files, read again for each new connection, so that renewed certificates need no restart. */
export interface RedisTlsFiles {
  /** Certificates to trust instead of the system's. */
  caFile?: string | undefined
  /** Client certificate with its chain. Requires `keyFile`. */
  certFile?: string | undefined
  /** Private key of the client certificate, not encrypted. */
  keyFile?: string | undefined
}

/**
 * TLS options for connections to the hosts of one Redis.
 *
 * The certificate must be valid for the connected host or for one in `REDIS_URL`: nodes of a Cluster or Sentinel set
 * are often announced by address, while their certificates are for the service's name.
 * @param namedHosts hosts in `REDIS_URL`
 * @throws when a file can't be read now. Later, the last readable content is used
 */
export function redisTls(files: RedisTlsFiles, namedHosts: string[]): (host?: string) => ConnectionOptions {
  const ca = rereadOnUse(files.caFile)
  const cert = rereadOnUse(files.certFile)
  const key = rereadOnUse(files.keyFile)
  const nameForAddresses = namedHosts.find((name) => !isIP(name))

  return (host) => {
    // SNI allows no IP addresses (RFC 6066 section 3). If `host` is unset, Node sets the name.
    const servername = host !== undefined && isIP(host) ? nameForAddresses : host
    return {
      ...(servername !== undefined && { servername }),
      checkServerIdentity: (asked, certificate) => identityFault(host ?? asked, namedHosts, certificate),
      get ca() {
        return ca()
      },
      get cert() {
        return cert()
      },
      get key() {
        return key()
      },
    }
  }
}

function identityFault(host: string, namedHosts: string[], certificate: PeerCertificate): Error | undefined {
  const fault = checkServerIdentity(host, certificate)
  return fault && namedHosts.some((name) => !checkServerIdentity(name, certificate)) ? undefined : fault
}

function rereadOnUse(path: string | undefined): () => string | undefined {
  if (path === undefined) return () => undefined
  let last = readFileSync(path, 'utf8')
  return () => {
    try {
      last = readFileSync(path, 'utf8')
    } catch {
      // The file may be in the middle of being replaced.
    }
    return last
  }
}
