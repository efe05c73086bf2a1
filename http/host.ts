/**
 * Whether a request names one host. Node takes the first of several, and a proxy in front may have taken another.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2
 */
export function namesOneHost(httpVersion: string, rawHeaders: string[]): boolean {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++
  }
  // HTTP/2 has a pseudo header of its own for that.
  return hosts === 1 || (hosts === 0 && httpVersion !== '1.1')
}
