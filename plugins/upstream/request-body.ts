import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, Readable } from 'node:stream'

/** Maximum size of a body that is buffered for a repeated request. */
export const maxReplayableBytes = 64 * 1024

export type Body = Readable | Buffer | null

/** The part of Fastify's request that is needed here. */
interface IncomingRequest {
  /** The parsed body. Fastify does not parse that of a GET or HEAD. */
  body: unknown
  headers: IncomingHttpHeaders
  raw: Readable
}

/**
 * The body of a request, whatever its method.
 * @param mayRepeat the request may have to be repeated, so a small body is buffered
 */
export async function sentBody({ body, headers, raw }: IncomingRequest, mayRepeat: boolean): Promise<Body> {
  const stream = body instanceof Readable ? body : announcesBody(headers) ? raw : null
  if (stream === null) return null
  return mayRepeat ? replayableBody(stream, headers['content-length']) : upload(stream)
}

/** Whether a request has a body, parsed or not. */
export function hasBody({ body, headers }: Pick<IncomingRequest, 'body' | 'headers'>): boolean {
  return body instanceof Readable || announcesBody(headers)
}

function announcesBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * Reads a body into memory so that the request can be repeated; a larger one, or one whose length isn't known
 * beforehand, stays a stream.
 *
 * @param contentLength the header
 * @throws the stream's error when the browser disconnects before it has sent all
 */
export async function replayableBody(stream: Readable, contentLength: string | undefined): Promise<Body> {
  const fits = contentLength !== undefined && Number(contentLength) <= maxReplayableBytes
  // Node's parser has validated the header and delivers no more than that.
  return fits ? Buffer.concat(await stream.toArray()) : upload(stream)
}

export function isReplayable(body: Body): body is Buffer | null {
  return body === null || Buffer.isBuffer(body)
}

/**
 * A request's body as a stream that can be destroyed separately: destroying the request itself would close the
 * connection on which the answer still has to be sent, as when an upstream refuses an upload without reading it.
 */
export function upload(body: Readable): Readable {
  const detached = new PassThrough()
  detached.once('close', () => {
    body.unpipe(detached)
    // A browser reads the answer only after it could send its whole body.
    body.resume()
  })
  return body.pipe(detached)
}
