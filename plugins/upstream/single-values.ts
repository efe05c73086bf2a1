import type { ServerResponse } from 'node:http'
import { trimBlanks } from '../../http/fields.ts'

export type Fields = Record<string, string | string[]>

/**
 * Fields as HTTP/2 takes them: of some Node sends no more than one value, and clients drop what has blanks around it.
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

/** As the browser's version of HTTP takes them. */
export function fieldsFor({ req }: Pick<ServerResponse, 'req'>, fields: Fields): Fields {
  return req.httpVersionMajor === 2 ? singleValues(fields) : fields
}
