import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'

const megabyte = 1024 * 1024

/** More than is buffered when one end does not read: two hops of loopback sockets hold some megabytes. */
export const heldBytes = 48 * megabyte

const all = 256 * megabyte

/** Writes as fast as possible, and stops counting when nothing has moved for a while. */
export async function writtenUntilHeld(stream: Writable): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024)
  let written = 0
  while (written < all) {
    written += chunk.length
    if (stream.write(chunk)) continue
    const moved = await Promise.race([once(stream, 'drain'), wait(1000, false)])
    if (!moved) return written
  }
  return written
}
