import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { upload } from '../../../plugins/upstream/request-body.ts'
import { closed } from '../../support/closed.ts'

test('an upload delivers the whole body', async () => {
  assert.equal(await text(upload(Readable.from(['a', 'b', 'c'], { objectMode: false }))), 'abc')
})

test('an aborted upload does not destroy the body, and the rest of it is drained', async () => {
  const body = new PassThrough({ highWaterMark: 4 })
  const cut = upload(body)
  body.write('0123456789')
  cut.destroy()
  await closed(cut)

  body.end('0123456789')

  await once(body, 'end')
  assert.equal(body.errored, null)
})

test('an upload that is not read applies back-pressure to the body', async () => {
  const body = new PassThrough({ highWaterMark: 1000 })
  upload(body)
  let written = 0
  while (body.write(Buffer.alloc(1000)) && written < 1000) {
    written++
    await new Promise(setImmediate)
  }
  assert.ok(written < 1000)
})
