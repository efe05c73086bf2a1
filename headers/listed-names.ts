/**
 * The names in a header that lists some, in lower case.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1
 */
export function listedNames(value: string | string[] = ''): string[] {
  const names = String(value)
    .split(',')
    .map((name) => name.trim().toLowerCase())
  return names.filter((name) => name !== '')
}
