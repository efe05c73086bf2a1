import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** Content of the session cookie: identifies the session and decrypts its record. Never changes during the session. */
export interface SessionReference {
  /** 32 random bytes, base64url. The store has only their hash. */
  id: string
  /** 32 random bytes, base64url. Stored only in the cookie. */
  key: string
}

const keyBytes = 32

export function newReference(): SessionReference {
  return { id: randomToken(), key: randomToken() }
}

/** Validates the content of a session cookie. */
export function readReference({ id, key }: Record<string, unknown>): SessionReference | undefined {
  return isRandomToken(id) && isRandomToken(key) ? { id, key } : undefined
}

/** Key of a session's record in the store, and the key that decrypts it. */
export interface RecordKeys {
  id: string
  key: Buffer
}

/** With what this process knows of a session that it has seen, for the report of its end. */
export interface RememberedKeys extends RecordKeys {
  /** When it expires unless it is used again, in milliseconds since the epoch. */
  aliveUntil?: number
  /** Name of the user, for logs. */
  user?: string
}

/** Number of references whose hashes are remembered, some 400 bytes each. */
const maxRemembered = 5000

/** Derives the keys of a record. Remembers them: browsers send the same cookie with every request. */
export function createKeyDerivation(): (reference: SessionReference) => RememberedKeys {
  const remembered = new LRUCache<string, RememberedKeys & { cookieKey: string }>({ max: maxRemembered })
  return (reference) => {
    const known = remembered.get(reference.id)
    if (known?.cookieKey === reference.key) return known
    // Unpooled: a small pooled buffer would keep a 64 KiB pool alive.
    const key = Buffer.alloc(keyBytes)
    key.write(reference.key, 'base64url')
    const derived = { id: hash('sha256', reference.id, 'base64url'), key, cookieKey: reference.key }
    remembered.set(reference.id, derived)
    return derived
  }
}

function randomToken(): string {
  return randomBytes(keyBytes).toString('base64url')
}

function isRandomToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{43}$/.test(value)
}
