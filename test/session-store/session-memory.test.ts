import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idleSessionBytes } from '../../bench/idle-session.ts'

test('an idle session with two JWTs of 1.2 KB takes at most 3 KB of memory, and pins no pool of Buffers', async () => {
  const { total, buffers } = await idleSessionBytes(2000)
  assert.ok(total <= 3072, `${total} bytes`)
  assert.ok(buffers <= 1536, `${buffers} bytes of Buffers`)
})
