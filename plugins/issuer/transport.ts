import { AsyncLocalStorage } from 'node:async_hooks'
import { readFile } from 'node:fs/promises'
import { Agent, fetch as undiciFetch } from 'undici'
import { arrivedDataRead } from '../../lib/event-loop.ts'
import { noTracing } from '../../lib/tracing.ts'
import { internalAddress } from './internal-address.ts'
import type { IssuerOptions } from './issuer.ts'
import { tracedFetch } from './traced-fetch.ts'

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
  tracing = noTracing,
): Transport {
  const { fetch, load } = createConnection(options)
  return { load, ...internalAddress(options.issuer, options.internalUrl, tracedFetch(fetch, tracing)) }
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

/** Limit for any response of the issuer, in bytes after decompression. Real ones are far smaller. */
const maxAnswerBytes = 1024 * 1024
const maxKeys = 200
/** A body shorter than this can't hold more than `maxKeys` keys, so it is not parsed. */
const smallestKeySetBytes = 8 * 1024

export type Fetch = (url: string | URL, options?: RequestInit) => Promise<Response>

/** Statuses without a body. */
const withoutBody = new Set([101, 204, 205, 304])

/**
 * `fetch` for requests to the issuer. Reads the whole body, up to a limit, so that a broken or hostile issuer can't
 * exhaust the memory. `options.signal` also covers the body.
 *
 * @param fetchAnswer what sends the request
 * @throws TypeError whose cause has the code ISSUER_ANSWER_TOO_LARGE or ISSUER_TOO_MANY_KEYS
 */
export async function boundedFetch(
  url: string | URL,
  options: RequestInit = {},
  fetchAnswer: Fetch = fetch,
): Promise<Response> {
  const response = await fetchAnswer(url, options)
  const { status, statusText, headers } = response
  const body = await read(response)
  if (body.length > smallestKeySetBytes) rejectTooManyKeys(body)
  return new Response(withoutBody.has(status) ? null : new Uint8Array(body), { status, statusText, headers })
}

async function read({ body }: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Throwing out of the loop cancels the body and closes the connection.
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > maxAnswerBytes) throw fault('is larger than 1 MB', 'ISSUER_ANSWER_TOO_LARGE')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Importing each key costs time, and a token without `kid` is checked against all keys. */
function rejectTooManyKeys(body: Buffer): void {
  const keys = keysOf(body)
  if (Array.isArray(keys) && keys.length > maxKeys)
    throw fault(`has more than ${maxKeys} keys`, 'ISSUER_TOO_MANY_KEYS')
}

function keysOf(body: Buffer): unknown {
  try {
    return Object(JSON.parse(body.toString())).keys
  } catch {
    return undefined
  }
}

function fault(what: string, code: string): TypeError {
  const cause = Object.assign(new Error(`The answer ${what}`), { code })
  return new TypeError(`The issuer's answer ${what}`, { cause })
}

/** Enough to read a head and a body, with some margin. */
const maxReads = 5

/** Like `AbortSignal.timeout`, but first lets the process read data that has already arrived. */
export function deadlineSignal(timeoutMs: number): { signal: AbortSignal; clear(): void } {
  const deadline = new AbortController()
  let cleared = false
  const timer = setTimeout(async () => {
    for (let reads = 0; reads < maxReads && !cleared; reads++) await arrivedDataRead()
    deadline.abort(new DOMException('The issuer did not answer in time', 'TimeoutError'))
  }, timeoutMs).unref()
  return {
    signal: deadline.signal,
    clear() {
      cleared = true
      clearTimeout(timer)
    },
  }
}

const deadlines = new AsyncLocalStorage<AbortSignal>()

/**
 * Runs a grant with one deadline for all that it waits for: metadata that are not known yet, and its requests, with DPoP
 * up to two. All must fit into the time that the renewal's lock is held.
 */
export async function withGrantDeadline<T>(timeoutMs: number, grant: () => Promise<T>): Promise<T> {
  const deadline = deadlineSignal(timeoutMs)
  try {
    return await deadlines.run(deadline.signal, grant)
  } finally {
    deadline.clear()
  }
}

/** Deadline of the grant under way. */
export function grantDeadline(): AbortSignal | null {
  return deadlines.getStore() ?? null
}
