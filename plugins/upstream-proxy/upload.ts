import { PassThrough, type Readable } from 'node:stream'

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
