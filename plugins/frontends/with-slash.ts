/** A frontend's base path by itself is its page: `/shop` is `/shop/`. */
export function withSlash(url: string, bases: string[]): string {
  const [path = ''] = url.split('?', 1)
  return path !== '' && bases.includes(path) ? `${path}/${url.slice(path.length)}` : url
}
