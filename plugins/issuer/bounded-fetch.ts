/** More than the metadata, keys, tokens or claims of any issuer take, in bytes after decompression. */
const maxAnswerBytes = 1024 * 1024
const maxKeys = 200
/** So many bytes at least have more keys than that. */
const smallestKeySetBytes = 8 * 1024

/** Statuses whose answers have no body. */
const withoutBody = new Set([101, 204, 205, 304])

/**
 * `fetch` for all that the issuer answers, read as a whole: one that is broken or hostile can't exhaust the memory. How
 * long it may take is the signal's to say, which counts for the body too.
 *
 * @throws TypeError whose cause has the code ISSUER_ANSWER_TOO_LARGE or ISSUER_TOO_MANY_KEYS
 */
export async function boundedFetch(url: string | URL, options: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, options)
  const { status, statusText, headers } = response
  const body = await read(response)
  if (body.length > smallestKeySetBytes) rejectTooManyKeys(body)
  return new Response(withoutBody.has(status) ? null : new Uint8Array(body), { status, statusText, headers })
}

async function read({ body }: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop cancels the body, and closes the connection.
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > maxAnswerBytes) throw fault('is larger than 1 MB', 'ISSUER_ANSWER_TOO_LARGE')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Each key costs time when it is imported, and all are gone through for a token that names none. */
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
