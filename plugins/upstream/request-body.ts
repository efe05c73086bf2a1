import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, Readable } from 'node:stream'

/** The most that is held back to be sent once more. */
export const maxReplayableBytes = 64 * 1024

export type Body = Readable | Buffer | null

/** As Fastify has it. */
interface IncomingRequest {
  /** What was made of the body. Fastify makes nothing of that of a GET or HEAD. */
  body: unknown
  headers: IncomingHttpHeaders
  raw: Readable
}

/**
 * What came with a request, whatever its method.
 * @param mayRepeat it may have to be sent once more
 */
export async function sentBody({ body, headers, raw }: IncomingRequest, mayRepeat: boolean): Promise<Body> {
  const stream = body instanceof Readable ? body : hasBody(headers) ? raw : null
  if (stream === null) return null
  return mayRepeat ? replayableBody(stream, headers['content-length']) : upload(stream)
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * Reads a body into memory so that the request can be repeated; a larger one, or one whose length isn't known
 * beforehand, stays a stream.
 *
 * @param contentLength the header
 * @throws what the stream does when the browser goes before it has sent all
 */
export async function replayableBody(stream: Readable, contentLength: string | undefined): Promise<Body> {
  const fits = contentLength !== undefined && Number(contentLength) <= maxReplayableBytes
  // Node's parser has checked the header, and hands over no more than that.
  return fits ? Buffer.concat(await stream.toArray()) : upload(stream)
}

export function isReplayable(body: Body): body is Buffer | null {
  return body === null || Buffer.isBuffer(body)
}

/**
 * A request's body as a stream that can be destroyed by itself: destroying the request's own would cut the
 * connection on which the answer still has to go out, as when an upstream refuses an upload without reading it.
 */
export function upload(body: Readable): Readable {
  const detached = new PassThrough()
  detached.once('close', () => {
    body.unpipe(detached)
    // A browser that isn't read from never gets to read.
    body.resume()
  })
  return body.pipe(detached)
}
