import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('the script that the documents name shows requests and answers with DPoP, and no whole token', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'dpop-wire.ts')])
  const starts = [...stdout.matchAll(/^(?:POST|GET|[2-5]\d\d).*$/gm)].map(([line]) => line)
  assert.deepEqual(starts, [
    ...['POST /request', '400', 'POST /request', '201', 'POST /token', '200'],
    ...['GET /v1/orders?page=2', 'GET /v1/orders?page=2', 'POST /token', '200', 'GET /v1/orders?page=3'],
  ])
  assert.equal(stdout.match(/was answered 200/g)?.length, 3)
  assert.doesNotMatch(stdout, /ey[\w-]+\.ey/)
})
