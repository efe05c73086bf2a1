import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { SessionRecord } from './session-record.ts'

const algorithm = 'aes-256-gcm'
const formatVersion = 1
const nonceBytes = 12
const tagBytes = 16
const headerBytes = 1 + nonceBytes + tagBytes

/**
 * Seals a session's record with the key that only its cookie carries, so that a stolen store opens nothing.
 * The identifier is bound in: a sealed record moved under another identifier does not open.
 *
 * Layout: format version (1 byte), nonce (12), tag (16), ciphertext; in base64.
 */
export function seal(record: object, key: Buffer, id: string): string {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(associatedData(id))
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(record), 'utf8'), cipher.final()])
  return Buffer.concat([Buffer.of(formatVersion), nonce, cipher.getAuthTag(), ciphertext]).toString('base64')
}

/** @returns nothing when the record was not sealed with this key for this identifier, or was tampered with */
export function unseal<T extends object = SessionRecord>(
  sealed: string,
  key: Buffer,
  id: string,
): T | undefined {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length <= headerBytes || bytes[0] !== formatVersion) return undefined
  const nonce = bytes.subarray(1, 1 + nonceBytes)
  const tag = bytes.subarray(1 + nonceBytes, headerBytes)
  try {
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
      .setAAD(associatedData(id))
      .setAuthTag(tag)
    const plaintext = Buffer.concat([decipher.update(bytes.subarray(headerBytes)), decipher.final()])
    return JSON.parse(plaintext.toString('utf8'))
  } catch {
    return undefined
  }
}

function associatedData(id: string): Buffer {
  return Buffer.from(`fastify-bff session record ${formatVersion} ${id}`)
}
