import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { pack, unpack } from './packing.ts'

/** Key and additional authenticated data: must be the same to unseal a record. */
export interface SealedFor {
  /** 32 bytes. */
  key: Buffer
  /** The record's key in the store. */
  id: string
  /** The record's version: an old record can't be replayed as a newer version. */
  version: number
}

/** 1: JSON, sealed without its version, base64 text. 2: packed, sealed with its version, bytes. */
export type SealFormat = 1 | 2

/** Format of new records. */
export const newestFormat: SealFormat = 2

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
const headerBytes = 1 + nonceBytes + tagBytes

/**
 * Encrypts a record with the key that only its cookie contains, so that a stolen store reveals nothing. Identifier,
 * version and format are authenticated.
 *
 * Layout: format (1 byte), nonce (12), tag (16), ciphertext.
 */
export function seal(record: object, sealedFor: SealedFor, format: SealFormat = newestFormat): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, sealedFor.key, nonce).setAAD(associatedData(format, sealedFor))
  const plaintext = format === 1 ? Buffer.from(JSON.stringify(record)) : pack(record)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const parts = [Buffer.of(format), nonce, cipher.getAuthTag(), ciphertext]
  return format === 1 ? Buffer.from(Buffer.concat(parts).toString('base64')) : joined(parts)
}

/** @returns undefined if it was sealed with another key, identifier or version, or was tampered with */
export function unseal(sealed: Buffer, sealedFor: SealedFor): unknown {
  const format = formatOf(sealed)
  const bytes = format === 1 ? Buffer.from(sealed.toString('latin1'), 'base64') : sealed
  if (format === undefined || bytes.length <= headerBytes || bytes[0] !== format) return undefined
  const nonce = bytes.subarray(1, 1 + nonceBytes)
  const tag = bytes.subarray(1 + nonceBytes, headerBytes)
  try {
    const decipher = createDecipheriv(algorithm, sealedFor.key, nonce, { authTagLength: tagBytes })
      .setAAD(associatedData(format, sealedFor))
      .setAuthTag(tag)
    const plaintext = Buffer.concat([decipher.update(bytes.subarray(headerBytes)), decipher.final()])
    return format === 1 ? JSON.parse(plaintext.toString()) : unpack(plaintext)
  } catch {
    return undefined
  }
}

/** @returns undefined for an unknown format */
export function formatOf(sealed: Buffer): SealFormat | undefined {
  // Base64 text whose first byte is 1 starts with 'A'.
  if (sealed[0] === 'A'.charCodeAt(0)) return 1
  return sealed[0] === 2 ? 2 : undefined
}

function associatedData(format: SealFormat, { id, version }: SealedFor): Buffer {
  const name = `fastify-bff session record ${format} ${id}`
  return Buffer.from(format === 1 ? name : `${name} ${version}`)
}

/** Concatenates into unpooled memory: a small pooled buffer would keep a 64 KiB pool alive. */
function joined(parts: Buffer[]): Buffer {
  const bytes = Buffer.allocUnsafeSlow(parts.reduce((length, part) => length + part.length, 0))
  let position = 0
  for (const part of parts) position += part.copy(bytes, position)
  return bytes
}
