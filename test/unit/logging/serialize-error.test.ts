import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { serializeError } from '../../../plugins/logging/serialize-error.ts'

const secret = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl'

test('an error is logged with its code and causes, each with its stack', () => {
  const cause = Object.assign(new TypeError('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const { type, message, stack, causes } = serializeError(new Error('outer', { cause })) as Record<
    string,
    unknown
  >
  assert.deepEqual({ type, message }, { type: 'Error', message: 'outer' })
  assert.match(String(stack), /serialize-error\.test/)
  const [{ stack: stackOfCause, ...logged }, ...more] = causes as [Record<string, unknown>]
  assert.deepEqual(logged, { type: 'TypeError', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' })
  assert.match(String(stackOfCause), /serialize-error\.test/)
  assert.deepEqual(more, [])
})

test('of an AggregateError the first error is logged', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:80'), { code: 'ECONNREFUSED' })
  const cause = new AggregateError([refused, new Error('another')])
  const { causes = [] } = serializeError(new Error('outer', { cause })) as { causes?: { code?: string }[] }
  assert.deepEqual(
    causes.map(({ code }) => code),
    [undefined, 'ECONNREFUSED'],
  )
})

test('an error message of a megabyte makes a short line that has the stack', () => {
  const cause = new Error('x'.repeat(1_000_000))
  const line = JSON.stringify(serializeError(new Error('y'.repeat(1_000_000), { cause })))
  assert.ok(line.length < 15_000, `${line.length}`)
  assert.equal(line.match(/serialize-error\.test/g)?.length, line.match(/"stack"/g)?.length)
})

test('other properties of an error are not logged', () => {
  const cause = Object.assign(new Error('inner'), { response: { body: secret } })
  const error = Object.assign(new Error('outer', { cause }), {
    error_description: secret,
    headers: { authorization: `Bearer ${secret}` },
    code: { token: secret },
  })
  assert.ok(!JSON.stringify(serializeError(error)).includes(secret))
})

test('a thrown value that is no error is logged by its type only', () => {
  for (const thrown of [secret, { message: secret }, [secret], undefined, null, 7]) {
    assert.deepEqual(serializeError(thrown), { type: typeof thrown, message: '', stack: '' })
  }
})

test('circular causes end', () => {
  const error = new Error('round')
  error.cause = error
  assert.equal(JSON.parse(JSON.stringify(serializeError(error))).causes.length, 5)
})

test('an answer of the issuer that is not JSON is not quoted', async () => {
  const issuer = 'https://login.example.com'
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  // The parser quotes the text around the fault.
  for (const body of [
    `{"refresh_token":"tok`,
    `{"refresh_token":tok}`,
    `tok`,
    `{"refresh_token":"tok" "x":1}`,
  ]) {
    configuration[oidc.customFetch] = async () =>
      new Response(body, { headers: { 'content-type': 'application/json' } })
    const cause = await oidc.refreshTokenGrant(configuration, 'x').catch((error: unknown) => error)
    const text = JSON.stringify(serializeError(new Error('outer', { cause })))
    assert.match(text, /OAUTH_PARSE_ERROR/)
    assert.ok(!text.includes('tok'), text)
    assert.ok(!JSON.stringify(serializeError(cause)).includes('tok}'), text)
  }
})

test("a parser's message that quotes its input is not logged, neither as error nor as cause", () => {
  const parse = () => JSON.parse(`{"token":${secret}}`)
  assert.throws(parse, (error: Error) => {
    assert.match(error.message, /eyJ/)
    for (const thrown of [error, new Error('outer', { cause: error })]) {
      assert.doesNotMatch(JSON.stringify(serializeError(thrown)), /eyJ/)
    }
    return true
  })
})
