import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { documentedAnswers, operations } from './openapi-support.ts'

const root = resolve(import.meta.dirname, '../..')

test("docs/openapi.yaml has every endpoint of the administrator's API, and no others", () => {
  const code = globSync('routes/admin/*.ts', { cwd: root }).map((file) =>
    readFileSync(resolve(root, file), 'utf8'),
  )
  const routes = [...code.join('\n').matchAll(/\bserver\.(get|post|put|delete)\(\s*'([^']+)'/g)].map(
    ([, method = '', path = '']) => `${method.toUpperCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`,
  )
  assert.deepEqual(routes.sort(), operations('administration').sort())
})

test("the administrator's API answers as documented: each status, with its headers and body", async (t) => {
  const { expect, assertAllSeen } = documentedAnswers(operations('administration'))
  const token = newKey()
  const { newBrowser, log } = await startInjectGateway(t, { env: { ADMIN_PORT: '0', ADMIN_TOKEN: token } })
  const origin = /http:\/\/[\d.:]+/.exec(
    log()
      .split('\n')
      .find((line) => line.includes('admin.listening')) ?? '',
  )?.[0]
  const call = async (
    method: string,
    path: string,
    { body, authorization = `Bearer ${token}` }: { body?: object; authorization?: string } = {},
  ) => {
    const headers = { authorization, ...(body && { 'content-type': 'application/json' }) }
    const response = await fetch(`${origin}${path}`, {
      method,
      headers,
      body: body ? JSON.stringify(body) : null,
    })
    return {
      statusCode: response.status,
      headers: Object.fromEntries(response.headers),
      body: await response.text(),
    }
  }
  const browser = newBrowser()
  await browser.signIn()
  const [{ id }] = (await browser.call('/bff/sessions')).json()

  await expect('GET /status', 200, call('GET', '/status'))
  await expect('GET /sessions', 200, call('GET', '/sessions?sub=alice'))
  await expect('GET /sessions', 400, call('GET', '/sessions'))
  await expect('DELETE /sessions/{id}', 204, call('DELETE', `/sessions/${id}`))
  await expect('DELETE /sessions/{id}', 404, call('DELETE', `/sessions/${id}`))
  await expect('DELETE /sessions', 200, call('DELETE', '/sessions?sub=alice'))
  await expect('DELETE /sessions', 400, call('DELETE', '/sessions'))
  await expect('POST /sessions/end-all', 200, call('POST', '/sessions/end-all', { body: { confirm: true } }))
  await expect('POST /sessions/end-all', 400, call('POST', '/sessions/end-all', { body: {} }))
  for (const operation of operations('administration')) {
    const [method = '', path = ''] = operation.split(' ')
    await expect(operation, 401, call(method, path, { authorization: 'Bearer wrong' }))
  }
  assertAllSeen()
})
