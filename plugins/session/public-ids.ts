import { createCipheriv, createDecipheriv } from 'node:crypto'
import { deriveKeys } from './sealing.ts'

/** Identifiers of sessions for lists: they name a session, but reveal neither its cookie nor its key in the store. */
export interface PublicIds {
  /** @param id the session's key in the store */
  of(id: string): string
  /** @returns the key in the store; undefined if it is no identifier that these keys have made */
  storeId(publicId: string): string | undefined
}

/**
 * AES key wrap: encrypts and authenticates 32 random bytes without a nonce, so a session always has the same identifier,
 * and none can be guessed.
 *
 * @param keys the first makes identifiers, all accept them
 * @see https://www.rfc-editor.org/rfc/rfc3394
 */
export function createPublicIds(keys: Buffer[]): PublicIds {
  const ownKeys = deriveKeys(keys, 'session identifier')
  const [newest] = ownKeys

  return {
    of(id) {
      const cipher = createCipheriv(algorithm, newest, initialValue)
      return Buffer.concat([cipher.update(id, 'base64url'), cipher.final()]).toString('base64url')
    },

    storeId(publicId) {
      if (!isWellFormed.test(publicId)) return undefined
      for (const key of ownKeys) {
        try {
          const decipher = createDecipheriv(algorithm, key, initialValue)
          const id = Buffer.concat([decipher.update(publicId, 'base64url'), decipher.final()])
          return id.toString('base64url')
        } catch {
          // Made with another key, or not by us.
        }
      }
      return undefined
    },
  }
}

const algorithm = 'id-aes256-wrap'
const initialValue = Buffer.alloc(8, 0xa6)

/** 40 bytes. */
const isWellFormed = /^[\w-]{54}$/
