import { hasHashedName } from './hashed-name.ts'

/** A year, the most that caches are told, in seconds. */
const forever = 31_536_000

/**
 * How long a file of the frontend may be kept. One whose name changes with its content for good; any other is asked
 * for again each time: an old page would name files that are gone.
 *
 * @param path of the file, perhaps of its compressed copy
 * @param isPrivate only for those who are signed in, so no cache that users share may keep it
 */
export function cacheControl(path: string, isPrivate: boolean): string {
  const file = path.replace(/\.(br|gz|deflate)$/, '')
  if (/\.html?$/.test(file) || !hasHashedName(file)) return isPrivate ? 'private, no-cache' : 'no-cache'
  return `${isPrivate ? 'private' : 'public'}, max-age=${forever}, immutable`
}
