import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { parse } from 'yaml'

interface Response {
  headers?: Record<string, unknown>
  content?: Record<string, unknown>
}

interface Operation {
  responses: Record<string, unknown>
}

export type OpenApi = { paths: Record<string, Record<string, Operation>> } & Record<string, unknown>

/** An answer of the gateway, over a socket or not. */
export interface Answer {
  statusCode: number
  headers: Record<string, unknown>
  body: string
}

export const openApi: OpenApi = parse(
  readFileSync(resolve(import.meta.dirname, '../../docs/openapi.yaml'), 'utf8'),
)

const ajv = new Ajv2020({ strict: false, allErrors: true })
// biome-ignore lint/suspicious/noExplicitAny: the package is CommonJS, and its types say otherwise
;((addFormats as any).default ?? addFormats)(ajv)
ajv.addSchema(openApi, 'openapi', false, false)
const validators = new Map<string, ValidateFunction>()

/** Paths of the administrator's API, which is on a port of its own. */
const administration = /^\/(sessions|status)/

/** All documented operations, as `GET /bff/user`: of the administrator's API, or all others. */
export function operations(kind?: 'administration'): string[] {
  return Object.entries(openApi.paths)
    .filter(([path]) => administration.test(path) === (kind === 'administration'))
    .flatMap(([path, item]) =>
      Object.keys(item)
        .filter((key) => key !== 'servers' && key !== 'parameters')
        .map((method) => `${method.toUpperCase()} ${path}`),
    )
}

/** The documented statuses of an operation, without `default`. */
function statuses(operation: string): string[] {
  return Object.keys(responsesOf(operation)).filter((status) => status !== 'default')
}

/** Fails unless the document has this answer: its status, content type, headers and body. */
function assertDocumented(operation: string, { statusCode, headers, body }: Answer): void {
  const [method = '', path = ''] = operation.split(' ')
  assert.ok(
    responsesOf(operation)[statusCode],
    `${operation} answers ${statusCode}, which is not documented: ${body}`,
  )
  const [response, at] = follow(['paths', path, method.toLowerCase(), 'responses', String(statusCode)])
  const { headers: documentedHeaders = {}, content = {} } = response as Response

  for (const name of Object.keys(documentedHeaders))
    assertValid(
      `${operation} ${statusCode}: ${name}`,
      follow([...at, 'headers', name])[1],
      'schema',
      headers[name.toLowerCase()],
    )
  if (Object.keys(content).length === 0) return
  const [type = ''] = String(headers['content-type']).split(';')
  assert.ok(content[type], `${operation} ${statusCode} is ${type}, which is not documented`)
  const value = type === 'application/json' ? JSON.parse(body) : body
  assertValid(`${operation} ${statusCode}`, [...at, 'content', type], 'schema', value)
}

function responsesOf(operation: string): Record<string, unknown> {
  const [method = '', path = ''] = operation.split(' ')
  return (
    openApi.paths[path]?.[method.toLowerCase()]?.responses ?? assert.fail(`${operation} is not documented`)
  )
}

function assertValid(what: string, at: string[], member: string, value: unknown): void {
  const pointer = [...at, member].map((key) =>
    encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1')),
  )
  const reference = `openapi#/${pointer.join('/')}`
  const validate = validators.get(reference) ?? ajv.compile({ $ref: reference })
  validators.set(reference, validate)
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`)
}

/** @returns the value at a place of the document, references followed, and its final place */
function follow(place: string[]): [value: unknown, place: string[]] {
  let value: unknown = openApi
  for (const key of place) value = (value as Record<string, unknown>)[key]
  const { $ref } = value as { $ref?: string }
  return $ref ? follow($ref.replace('#/', '').split('/')) : [value, place]
}

/** Checks answers against the document, and in the end that every documented status of these operations was seen. */
export function documentedAnswers(all: string[]) {
  const seen = new Set<string>()
  return {
    async expect(operation: string, status: number, answered: Promise<Answer> | Answer): Promise<void> {
      const answer = await answered
      assert.equal(answer.statusCode, status, `${operation}: ${answer.body}`)
      assertDocumented(operation, answer)
      seen.add(`${operation} ${status}`)
    },
    assertAllSeen(): void {
      const documented = all.flatMap((operation) =>
        statuses(operation).map((status) => `${operation} ${status}`),
      )
      assert.deepEqual(
        documented.filter((answer) => !seen.has(answer)),
        [],
      )
    },
  }
}

export type Expect = ReturnType<typeof documentedAnswers>['expect']
