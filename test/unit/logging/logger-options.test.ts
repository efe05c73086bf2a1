import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import { loggerOptions } from '../../../plugins/logging/logger.ts'

function logged(fields: object): string {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line) }
  Fastify({ logger: { ...loggerOptions('trace'), stream } }).log.trace(fields)
  return lines.join('')
}

test('a request is logged without its query', () => {
  const req = {
    method: 'GET',
    url: '/bff/callback?code=secret&state=secret',
    ip: '10.0.0.1',
    headers: { cookie: 'secret' },
  }
  const line = logged({ req })
  assert.match(line, /"method":"GET","url":"\/bff\/callback","remoteAddress":"10\.0\.0\.1"/)
  assert.doesNotMatch(line, /secret/)
})

const secretNames = ['authorization', 'cookie', 'set-cookie', 'accessToken', 'refreshToken', 'idToken']
secretNames.push('access_token', 'refresh_token', 'id_token', 'request_uri', 'Authorization', 'Set-Cookie')
secretNames.push('dpop', 'DPoP', 'dpopKey', 'loginKey')

test('a token or cookie that is logged by mistake is redacted, at any depth of the line', () => {
  for (const name of secretNames) {
    for (const secret of ['secret', ['a "secret"'], { value: 'secret' }]) {
      for (const fields of [{ [name]: secret }, { deep: [{ er: { [name]: secret } }] }]) {
        const line = logged({ before: 1, ...fields, after: 2 })
        assert.doesNotMatch(line, /secret/, name)
        assert.match(line, /"before":1,.*\[Redacted\].*,"after":2.*\}\n$/)
      }
    }
  }
})

test('fields that a request adds to all of its lines are redacted too', () => {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line) }
  const { log } = Fastify({ logger: { ...loggerOptions('trace'), stream } })
  log
    .child({ accessToken: 'secret' })
    .child({ upstream: { cookie: 'secret' } })
    .info('of no interest')
  assert.deepEqual(
    lines.map((line) => /secret/.test(line)),
    [false],
  )
})

test('a line that only mentions tokens and cookies is unchanged', () => {
  const line = logged({ event: 'token.renewed', names: secretNames, said: '{"cookie":"none"}' })
  assert.match(line, /"said":"\{\\"cookie\\":\\"none\\"\}"/)
  assert.doesNotMatch(line, /Redacted/)
})
