import type { ClientHttp2Stream } from 'node:http2'

/**
 * From now on an answer ends as whole only if the upstream said that it does: Node, and undici with it, takes a stream
 * that was reset with CANCEL or NO_ERROR for one that has ended.
 */
export function refuseCutOff(stream: ClientHttp2Stream): void {
  const push = stream.push.bind(stream)
  let isWhole = false
  stream.push = (chunk) => {
    if (chunk !== null) return push(chunk)
    isWhole ||= !stream.closed
    if (isWhole) return push(chunk)
    // Node goes on with the stream right after.
    process.nextTick(() => stream.destroy(new Error(`The upstream reset its answer with ${stream.rstCode}`)))
    return false
  }
}
