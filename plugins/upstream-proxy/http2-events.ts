import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'

/** Makes the events of an answer by HTTP/2 such that undici understands them. */
export function translateEvents(stream: ClientHttp2Stream): void {
  const emit: (event: string | symbol, ...args: unknown[]) => boolean = stream.emit.bind(stream)
  let trailers: unknown[] | undefined
  stream.emit = (event: string | symbol, ...[first, ...rest]: unknown[]) => {
    if (event === 'trailers') {
      // undici takes the answer for ended once it gets them, however much is still to be read.
      trailers = pairs(first as IncomingHttpHeaders)
      return true
    }
    if (event === 'end' && trailers) emit('trailers', trailers)
    return emit(event, event === 'response' ? inBytes(first as IncomingHttpHeaders) : first, ...rest)
  }
}

/** undici expects trailers as HTTP/1.1 brings them. */
function pairs(trailers: IncomingHttpHeaders): unknown[] {
  return Object.entries(trailers).flat()
}

/** Node has one character for each byte, of which undici would make UTF-8. */
function inBytes(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, bytesOf(value)]))
}

function bytesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bytesOf)
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value
}
