import assert from 'node:assert/strict'
import type { LightMyRequestResponse } from 'fastify'

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** Asserts a documented error in JSON, with exactly its members and `extras`, and `Cache-Control: no-store`. */
export function assertError(
  response: LightMyRequestResponse,
  statusCode: number,
  code: string,
  extras: Record<string, unknown> = {},
): void {
  assert.match(String(response.headers['content-type']), /^application\/json/, response.body)
  const { error, details, requestId, ...rest } = response.json()
  assert.deepEqual(rest, { statusCode, code, ...extras })
  assert.equal(response.statusCode, statusCode)
  for (const text of [error, details]) assert.ok(typeof text === 'string' && text !== '', response.body)
  assert.match(requestId, uuid)
  assert.equal(response.headers['cache-control'], 'no-store')
}
