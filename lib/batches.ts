/** Parts of a list, each of at most `size` elements, in order. */
export function* batches<T>(all: readonly T[], size: number): Generator<T[], void, undefined> {
  for (let i = 0; i < all.length; i += size) yield all.slice(i, i + size)
}
