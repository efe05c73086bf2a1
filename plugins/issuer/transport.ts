import { readFile } from 'node:fs/promises'
import { Agent, fetch as undiciFetch } from 'undici'
import { boundedFetch, type Fetch } from './bounded-fetch.ts'
import { internalAddress } from './internal-address.ts'
import type { IssuerOptions } from './issuer.ts'

/** How requests reach the issuer. */
export interface Transport {
  fetch: Fetch
  /** Reads the client certificate again, which may have been renewed. @throws when it can't be read */
  load(): Promise<void>
  /** The text of metadata, with the URLs that browsers use. */
  publicMetadata(text: string): string
}

interface ClientCertificate {
  /** PEM. */
  clientCertFile?: string
  /** PEM, without a passphrase. */
  clientKeyFile?: string
}

/**
 * Requests to the issuer, with the client certificate if there is one: for client authentication, and because tokens
 * that are bound to it are given out and renewed over such connections only.
 * @see https://www.rfc-editor.org/rfc/rfc8705
 */
export function createTransport(
  options: ClientCertificate & Pick<IssuerOptions, 'issuer' | 'internalUrl'>,
): Transport {
  const { fetch, load } = createConnection(options)
  return { load, ...internalAddress(options.issuer, options.internalUrl, fetch) }
}

function createConnection({
  clientCertFile,
  clientKeyFile,
}: ClientCertificate): Pick<Transport, 'fetch' | 'load'> {
  if (clientCertFile === undefined || clientKeyFile === undefined)
    return { fetch: (url, options) => boundedFetch(url, options), load: async () => {} }
  let current: { cert: string; key: string; agent: Agent } | undefined

  async function load(paths: Required<ClientCertificate>): Promise<void> {
    const [cert, key] = await Promise.all([
      readFile(paths.clientCertFile, 'utf8'),
      readFile(paths.clientKeyFile, 'utf8'),
    ])
    if (current?.cert === cert && current.key === key) return
    const previous = current
    // Set, so that NODE_TLS_REJECT_UNAUTHORIZED can't turn verification off.
    current = { cert, key, agent: new Agent({ connect: { cert, key, rejectUnauthorized: true } }) }
    // Requests under way finish.
    void previous?.agent.close()
  }

  return {
    load: () => load({ clientCertFile, clientKeyFile }),
    fetch: (url, options) => boundedFetch(url, options, fetchOver(current?.agent)),
  }
}

/**
 * `fetch` of undici itself: Node's own may be too old for this agent. undici's types for options and responses are
 * other declarations than the global ones.
 */
function fetchOver(agent: Agent | undefined): Fetch {
  return (url, options = {}) =>
    undiciFetch(url, {
      ...(options as object),
      ...(agent && { dispatcher: agent }),
    }) as unknown as Promise<Response>
}
