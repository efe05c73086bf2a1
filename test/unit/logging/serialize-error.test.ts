import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { serializeError } from '../../../plugins/logging/serialize-error.ts'

const secret = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl'

test('an error is told with its code and causes, each with its stack', () => {
  const cause = Object.assign(new TypeError('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const { type, message, stack, causes } = serializeError(new Error('outer', { cause })) as Record<
    string,
    unknown
  >
  assert.deepEqual({ type, message }, { type: 'Error', message: 'outer' })
  assert.match(String(stack), /serialize-error\.test/)
  const [{ stack: stackOfCause, ...told }, ...more] = causes as [Record<string, unknown>]
  assert.deepEqual(told, { type: 'TypeError', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' })
  assert.match(String(stackOfCause), /serialize-error\.test/)
  assert.deepEqual(more, [])
})

test('of several errors in one the first is told', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:80'), { code: 'ECONNREFUSED' })
  const cause = new AggregateError([refused, new Error('another')])
  const { causes = [] } = serializeError(new Error('outer', { cause })) as { causes?: { code?: string }[] }
  assert.deepEqual(
    causes.map(({ code }) => code),
    [undefined, 'ECONNREFUSED'],
  )
})

test('a message of a megabyte leaves a line that is short, and has its stack', () => {
  const cause = new Error('x'.repeat(1_000_000))
  const line = JSON.stringify(serializeError(new Error('y'.repeat(1_000_000), { cause })))
  assert.ok(line.length < 15_000, `${line.length}`)
  assert.equal(line.match(/serialize-error\.test/g)?.length, line.match(/"stack"/g)?.length)
})

test('what hangs on an error besides is not told', () => {
  const cause = Object.assign(new Error('inner'), { response: { body: secret } })
  const error = Object.assign(new Error('outer', { cause }), {
    error_description: secret,
    headers: { authorization: `Bearer ${secret}` },
    code: { token: secret },
  })
  assert.ok(!JSON.stringify(serializeError(error)).includes(secret))
})

test('what is no error is told by its type alone', () => {
  for (const thrown of [secret, { message: secret }, [secret], undefined, null, 7]) {
    assert.deepEqual(serializeError(thrown), { type: typeof thrown, message: '', stack: '' })
  }
})

test('causes that go round in a circle come to an end', () => {
  const error = new Error('round')
  error.cause = error
  assert.equal(JSON.parse(JSON.stringify(serializeError(error))).causes.length, 5)
})

test('an answer of the issuer that is no JSON is not quoted', async () => {
  const issuer = 'https://login.example.com'
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  // Whatever surrounds the fault is quoted by the parser.
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

test('a parser that quotes what it read is not quoted in turn, at the top or below', () => {
  const parse = () => JSON.parse(`{"token":${secret}}`)
  assert.throws(parse, (error: Error) => {
    assert.match(error.message, /eyJ/)
    for (const thrown of [error, new Error('outer', { cause: error })]) {
      assert.doesNotMatch(JSON.stringify(serializeError(thrown)), /eyJ/)
    }
    return true
  })
})
