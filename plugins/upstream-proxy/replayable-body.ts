import type { Readable } from 'node:stream'

/** The most that is held back to be sent once more. */
export const maxReplayableBytes = 64 * 1024

export type Body = Readable | Buffer | null

/**
 * Reads a body into memory so that the request can be repeated; a larger one, or one whose length isn't known
 * beforehand, stays a stream.
 *
 * @param contentLength the header
 */
export async function replayableBody(
  stream: Readable | null,
  contentLength: string | undefined,
): Promise<Body> {
  if (
    stream === null ||
    Number(contentLength ?? Number.NaN) > maxReplayableBytes ||
    contentLength === undefined
  ) {
    return stream
  }
  // Node's parser has checked the header, and hands over no more than that.
  return Buffer.concat(await stream.toArray())
}

export function isReplayable(body: Body): body is Buffer | null {
  return body === null || Buffer.isBuffer(body)
}
