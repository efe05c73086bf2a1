import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import { loggerOptions } from '../../../plugins/logging/logger-options.ts'

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

test('should somebody log a token or cookie after all, it is blackened', () => {
  const names = ['authorization', 'cookie', 'set-cookie', 'accessToken', 'refreshToken', 'idToken']
  names.push('access_token', 'refresh_token', 'id_token', 'request_uri')
  for (const name of names) {
    for (const fields of [{ headers: { [name]: 'secret' } }, { [name]: 'secret' }]) {
      assert.doesNotMatch(logged(fields), /secret/, name)
    }
  }
})
