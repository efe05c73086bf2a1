import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { SealedRecord } from '../session-store/store.ts'
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

/**
 * Derives a separate key for each purpose. secure-session does not authenticate a cookie's purpose, so with one key a
 * login transaction cookie could be used as a session cookie.
 *
 * @throws RangeError without a key
 * @see https://www.rfc-editor.org/rfc/rfc5869
 */
export function deriveKeys(keys: Buffer[], purpose: string): [Buffer, ...Buffer[]] {
  const [first, ...others] = keys.map((key) =>
    Buffer.from(hkdfSync('sha256', key, '', `fastify-bff ${purpose}`, 32)),
  )
  if (!first) throw new RangeError('A key is needed')
  return [first, ...others]
}

/** Number of cached records, some 5 KB each. */
const maxSessions = 2000

interface Unsealed<T> {
  /** A copy in unpooled memory. */
  key: Buffer
  record: T
}

/** Covers format, nonce and tag, which are unique per record. In format 1 these are base64 text and so longer. */
const fingerprintBytes = 40

/**
 * Unseals and validates records, and caches the latest result of each session: most requests read the same sealed
 * record again. The caller still needs the record from the store and the key from the cookie.
 *
 * @param validate returns undefined for what is no record
 */
export function createLatestUnsealer<T>(validate: (unsealed: unknown) => T | undefined) {
  const latest = new LRUCache<string, Unsealed<T> & { version: number; fingerprint: string }>({
    max: maxSessions,
  })

  return ({ sealed, version }: SealedRecord, key: Buffer, id: string): Unsealed<T> | undefined => {
    // Not the sealed record itself: it may be a slice of a larger buffer with Redis's whole reply.
    const fingerprint = sealed.toString('latin1', 0, fingerprintBytes)
    const known = latest.get(id)
    if (known?.fingerprint === fingerprint && known.version === version && isSame(known.key, key))
      return known
    const record = validate(unseal(sealed, { key, id, version }))
    if (!record) return undefined
    const unsealed = { key: copyOf(key), record, version, fingerprint }
    latest.set(id, unsealed)
    return unsealed
  }
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Unpooled: a small pooled buffer would keep a 64 KiB pool alive. */
function copyOf(key: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(key.length)
  key.copy(copy)
  return copy
}
