import { createHash } from 'node:crypto'

/** Names in the log what must not stand there itself: the first 16 bytes of its SHA-256, base64url. */
export function hashForLog(text: string): string {
  return createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url')
}
