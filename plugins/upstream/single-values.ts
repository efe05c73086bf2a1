import type { ServerResponse } from 'node:http'
import { trimBlanks } from '../../http/fields.ts'

export type Fields = Record<string, string | string[]>

/**
 * Header fields for HTTP/2: Node allows only one value for some of them, and clients reject blanks around a value.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.3
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-8.2.1
 */
export function singleValues(fields: Fields): Fields {
  const singles = Object.entries(fields).map(([name, value]) => [name, single(name, value)] as const)
  return Object.fromEntries(singles)
}

function single(name: string, value: string | string[]): string | string[] {
  const values = [value].flat().map(trimBlanks)
  return name === 'set-cookie' ? values : values.join(', ')
}

/** Header fields for the browser's HTTP version. */
export function fieldsFor({ req }: Pick<ServerResponse, 'req'>, fields: Fields): Fields {
  return req.httpVersionMajor === 2 ? singleValues(fields) : fields
}
