import type { Socket } from 'node:net'
import { ignore } from '../edge/sockets.ts'
import type { Closing } from '../session/streams/open-streams.ts'

/** How often the other end is asked whether it is still there, in milliseconds of silence. */
const keepAliveMs = 60_000

/** For how long nothing may pass any more once one end has said its last, in milliseconds. */
const halfClosedMs = 60_000

/** How long an end may take for what it was still sent when the other has closed, in milliseconds. */
const lingeringMs = 10_000

/** How much a browser may send before its WebSocket is open, in bytes. It has no reason to. */
const maxEarlyBytes = 64 * 1024

/** What a browser sends before there is anybody to get it. */
export interface Early {
  /** Stops listening. What came is in the stream again. */
  release(): void
  /** Stops listening, and forgets what came. */
  discard(): void
}

/** @param onEnd the browser will send nothing more, which it does when it goes */
export function holdBack(browser: Socket, head: Buffer, onEnd: () => void): Early {
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
 * Passes bytes on both ways as they come, and holds one end back while the other doesn't take them. An end that
 * has said its last may still listen; one that closes or is reset closes the other.
 */
export function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.allowHalfOpen = true
    from.setTimeout(0).setNoDelay(true).setKeepAlive(true, keepAliveMs)
    from.on('error', ignore)
    from.once('end', () => to.setTimeout(halfClosedMs, () => to.destroy()))
    from.once('close', () => endSoon(to))
    from.pipe(to)
  }
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    if (from.destroyed) endSoon(to)
  }
}

/** Closes a connection when what was written to it has been sent, or cannot be. */
export function endSoon(socket: Socket): void {
  if (socket.destroyed) return
  socket.destroySoon()
  limitLingering(socket)
}

/** Cuts off a client that does not take what it was still sent, before what is being closed has to wait for it. */
export function limitLingering(ending: Closing): void {
  const tooLong = setTimeout(() => ending.destroy(), lingeringMs)
  ending.once('close', () => clearTimeout(tooLong))
}
