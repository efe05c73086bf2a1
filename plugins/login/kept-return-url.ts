import { createHash, randomBytes } from 'node:crypto'
import { loginLifetimeMs } from '../../http/limits.ts'
import { seal, unseal } from '../session/sealing.ts'
import type { SessionStore } from '../session-store/store.ts'

/** With longer ones, ten logins would no longer fit into the cookies of a request. */
const maxInCookie = 300

/** A return URL begins with a slash or an origin, so this is none. */
const prefix = 'stored '

type Store = Pick<SessionStore, 'put' | 'read'>

/** Whether a return URL needs the store. */
export function isLong(returnUrl: string): boolean {
  return returnUrl.length > maxInCookie
}

/**
 * Puts a long return URL into the store for the duration of a login or logout, sealed with a key that only the cookie
 * contains.
 *
 * @returns the text for the cookie: the URL itself, or a reference to it
 * @throws StoreUnavailableError
 */
export async function keepReturnUrl(store: Store, returnUrl: string): Promise<string> {
  if (!isLong(returnUrl)) return returnUrl
  const key = randomBytes(32)
  const id = idOf(key)
  await store.put(id, seal({ returnUrl }, { key, id, version: 1 }), loginLifetimeMs)
  return prefix + key.toString('base64url')
}

/** The return URL, or undefined if it is no longer in the store. @throws StoreUnavailableError */
export async function keptReturnUrl(store: Store, kept: string): Promise<string | undefined> {
  if (!kept.startsWith(prefix)) return kept
  const key = Buffer.from(kept.slice(prefix.length), 'base64url')
  const id = idOf(key)
  const stored = await store.read(id)
  const content = stored && unseal(stored.sealed, { key, id, version: stored.version })
  const { returnUrl } = Object(content) as { returnUrl?: unknown }
  return typeof returnUrl === 'string' ? returnUrl : undefined
}

function idOf(key: Buffer): string {
  return createHash('sha256').update('return-url ').update(key).digest('base64url')
}
