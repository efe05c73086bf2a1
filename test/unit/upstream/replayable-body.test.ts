import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import {
  type Body,
  isReplayable,
  maxReplayableBytes,
  replayableBody,
} from '../../../plugins/upstream/request-body.ts'

function bodyOf(bytes: number): Readable {
  const half = Math.floor(bytes / 2)
  return Readable.from([Buffer.alloc(half, 'a'), Buffer.alloc(bytes - half, 'b')], { objectMode: false })
}

async function read(body: Body): Promise<Buffer> {
  return body instanceof Readable ? buffer(body) : (body ?? Buffer.alloc(0))
}

for (const bytes of [0, 1, 1000, maxReplayableBytes]) {
  test(`a body of ${bytes} bytes can be sent twice`, async () => {
    const body = await replayableBody(bodyOf(bytes), String(bytes))
    assert.ok(isReplayable(body))
    assert.deepEqual(body, await buffer(bodyOf(bytes)))
  })
}

test('a body of one byte more than 64 KiB stays a stream', async () => {
  const bytes = 64 * 1024 + 1
  const body = await replayableBody(bodyOf(bytes), String(bytes))
  assert.equal(isReplayable(body), false)
  assert.deepEqual(await read(body), await buffer(bodyOf(bytes)))
})

test('a body of unknown length stays a stream, however short', async () => {
  const body = await replayableBody(bodyOf(3), undefined)
  assert.equal(isReplayable(body), false)
  assert.equal((await read(body)).length, 3)
})

test('a Content-Length that is no number keeps the body a stream', async () => {
  assert.equal(isReplayable(await replayableBody(bodyOf(3), 'many')), false)
})

test('a request without a body can be replayed', () => assert.ok(isReplayable(null)))

test('a browser that disconnects before the end of the body makes it reject', async () => {
  const stream = new PassThrough()
  stream.write('half')
  const body = replayableBody(stream, '8')
  stream.destroy(new Error('aborted'))
  await assert.rejects(body, /aborted/)
})
