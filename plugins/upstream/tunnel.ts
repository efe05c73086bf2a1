import type { Socket } from 'node:net'
import { ignore } from '../edge/sockets.ts'
import type { Closing } from '../session/streams/open-streams.ts'

/** TCP keep-alive: idle time before the first probe, in milliseconds. */
const keepAliveMs = 60_000

/** Idle timeout of a connection once one end has sent FIN, in milliseconds. */
const halfClosedMs = 60_000

/** How long one end may take to receive remaining data once the other has closed, in milliseconds. */
const lingeringMs = 10_000

/** How much a browser may send before its WebSocket is open, in bytes. Normally it sends nothing. */
const maxEarlyBytes = 64 * 1024

/** Data that a browser sends before the upstream's connection is open. */
export interface EarlyData {
  /** Stops buffering and puts the data back into the stream. */
  release(): void
  /** Stops buffering and drops the data. */
  discard(): void
}

/** @param onEnd called when the browser sends FIN, as it does when the page is closed */
export function bufferEarlyData(browser: Socket, head: Buffer, onEnd: () => void): EarlyData {
  const chunks = head.length > 0 ? [head] : []
  let length = head.length
  const onData = (chunk: Buffer) => {
    chunks.push(chunk)
    length += chunk.length
    if (length > maxEarlyBytes) browser.pause()
  }
  const stop = () => browser.off('data', onData).off('end', onEnd)
  browser.on('data', onData).once('end', onEnd)
  return {
    release() {
      stop().pause()
      if (chunks.length > 0) browser.unshift(Buffer.concat(chunks))
    },
    discard: () => void stop().resume(),
  }
}

/**
 * Pipes bytes both ways, with backpressure. An end that has sent FIN may still receive (half-open); one that closes or
 * is reset closes the other.
 */
export function pipeBothWays(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.allowHalfOpen = true
    from.setTimeout(0).setNoDelay(true).setKeepAlive(true, keepAliveMs)
    from.on('error', ignore)
    from.once('end', () => to.setTimeout(halfClosedMs, () => to.destroy()))
    from.once('close', () => closeAfterFlush(to))
    from.pipe(to)
  }
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    if (from.destroyed) closeAfterFlush(to)
  }
}

/** Closes a connection once written data has been sent, at the latest after {@link lingeringMs}. */
export function closeAfterFlush(socket: Socket): void {
  if (socket.destroyed) return
  socket.destroySoon()
  limitLingering(socket)
}

/** Destroys a closing connection or response whose client does not read, so that closing need not wait for it. */
export function limitLingering(ending: Closing): void {
  const tooLong = setTimeout(() => ending.destroy(), lingeringMs)
  ending.once('close', () => clearTimeout(tooLong))
}
