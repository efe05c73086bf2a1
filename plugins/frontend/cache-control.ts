import { hasHashedName } from './hashed-name.ts'

/** A year, the usual maximum for `max-age`, in seconds. */
const forever = 31_536_000

/**
 * `Cache-Control` for a file of the frontend. A file whose name contains a hash of its content is cached for good. Any
 * other is revalidated each time: an outdated page would refer to files that no longer exist.
 *
 * @param path of the file, or of its compressed copy
 * @param isPrivate for signed-in users only, so shared caches must not keep it
 */
export function cacheControl(path: string, isPrivate: boolean): string {
  const file = path.replace(/\.(br|gz|deflate)$/, '')
  if (/\.html?$/.test(file) || !hasHashedName(file)) return isPrivate ? 'private, no-cache' : 'no-cache'
  return `${isPrivate ? 'private' : 'public'}, max-age=${forever}, immutable`
}
