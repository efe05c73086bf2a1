import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import fc from 'fast-check'

const times = Number(process.env['FUZZ_RUNS'] ?? 1)
const { FUZZ_SEED: wanted = '1' } = process.env
const seed = wanted === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(wanted)

/**
 * Parameters of `fc.assert` for this many inputs. They are the same in every run, so that results depend only on
 * the code; `FUZZ_SEED=random` uses others, a number repeats those of a run that printed it, and
 * `FUZZ_RUNS` multiplies them.
 */
export function inputs(count: number): fc.Parameters<unknown> {
  assert.ok(times > 0, 'FUZZ_RUNS must be a number above 0')
  return { numRuns: Math.ceil(count * times), seed }
}

/** Prints how many inputs had which outcome, to show that they reach all of them. */
export function report(t: TestContext, figures: Record<string, number>): void {
  t.diagnostic(
    Object.entries({ ...figures, seed })
      .map(([name, value]) => `${name}: ${value}`)
      .join(', '),
  )
}

export interface Answered {
  status: number
  contentType: string | undefined
  cacheControl: string | undefined
  text: string
}

/** Asserts a 4xx in the error format. @returns the code */
export function assertRefused({ status, contentType, cacheControl, text }: Answered, sent = ''): string {
  assert.ok(status >= 400 && status < 500, `${status}: ${text} ${sent}`)
  assert.match(String(contentType), /^application\/json/)
  assert.equal(cacheControl, 'no-store')
  const { statusCode, code, error, details, requestId } = JSON.parse(text)
  assert.equal(statusCode, status)
  for (const member of [code, error, details, requestId])
    assert.ok(typeof member === 'string' && member, text)
  return code
}

interface Injected {
  statusCode: number
  headers: Record<string, unknown>
  body: string
}

export function assertInjectRefused({ statusCode, headers, body }: Injected): string {
  const text = (name: string) => (headers[name] === undefined ? undefined : String(headers[name]))
  return assertRefused({
    status: statusCode,
    contentType: text('content-type'),
    cacheControl: text('cache-control'),
    text: body,
  })
}

interface SocketAnswer extends Answered {
  location: string | undefined
  setCookies: string[]
}

/** The first final answer on a socket, or none if only interim ones came. */
export function parseAnswer(answer: string): SocketAnswer | undefined {
  const [head = '', text = ''] = answer.replace(/^HTTP\/1\.1 100 .*\r\n\r\n/, '').split('\r\n\r\n')
  if (head === '') return undefined
  const [statusLine = '', ...lines] = head.split('\r\n')
  const pairs = lines.map((line) => line.split(/: (.*)/s, 2) as [string, string])
  const headers = new Map(pairs.map(([name, value]) => [name.toLowerCase(), value]))
  return {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]),
    contentType: headers.get('content-type'),
    cacheControl: headers.get('cache-control'),
    location: headers.get('location'),
    setCookies: pairs.filter(([name]) => /^set-cookie$/i.test(name)).map(([, value]) => value),
    // Another answer may follow.
    text: text.slice(0, Number(headers.get('content-length') ?? text.length)),
  }
}

/** A valid text with up to three small edits, sometimes none. */
export function mutationsOf(text: string, alphabet: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const at = fc.double({ min: 0, max: 1, noNaN: true })
  const edit = fc.tuple(
    fc.constantFrom('replace', 'insert', 'remove', 'truncate', 'double', 'swap'),
    at,
    alphabet,
  )
  return fc.array(edit, { maxLength: 3 }).map((edits) => edits.reduce(applyEdit, text))
}

function applyEdit(text: string, [what, where, piece]: [string, number, string]): string {
  const i = Math.floor(where * text.length)
  const [before, after] = [text.slice(0, i), text.slice(i)]
  switch (what) {
    case 'replace':
      return before + piece + after.slice(1)
    case 'insert':
      return before + piece + after
    case 'remove':
      return before + after.slice(1)
    case 'truncate':
      return before
    case 'double':
      return before + after + after
    default:
      return after + before
  }
}
