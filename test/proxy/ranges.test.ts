import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Answer, startGateway, startUpstream, type WantedUpstream } from './support.ts'

const file = 'abcdefghij'
const etag = '"v1"'

/** A file of ten bytes that supports ranges. */
const serve: Answer = ({ method, headers, response }): unknown => {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
  const isStale = headers['if-range'] !== undefined && headers['if-range'] !== etag
  response.setHeader('accept-ranges', 'bytes').setHeader('etag', etag)
  if (from === undefined || isStale)
    return response.writeHead(200, { 'content-length': file.length }).end(file)
  if (Number(from) >= file.length) {
    return response.writeHead(416, { 'content-range': `bytes */${file.length}`, 'content-length': 0 }).end()
  }
  const part = file.slice(Number(from), Number(to) + 1)
  const headersOfPart = {
    'content-range': `bytes ${from}-${to}/${file.length}`,
    'content-length': part.length,
  }
  return response.writeHead(206, headersOfPart).end(method === 'HEAD' ? undefined : part)
}

async function start(t: TestContext, options: Partial<WantedUpstream> = {}) {
  const upstream = await startUpstream(t, serve)
  const gateway = await startGateway(t, [{ target: upstream.url, ...options }])
  return async (headers: Record<string, string>, method = 'GET') => {
    const { status, headers: answered, text } = await gateway.call('/api/file', { method, headers })
    const { 'content-range': range, 'content-length': length } = answered
    return [status, range, length, text]
  }
}

test('range requests pass as to the upstream itself', async (t) => {
  const get = await start(t)
  assert.deepEqual(await get({ range: 'bytes=2-4' }), [206, 'bytes 2-4/10', '3', 'cde'])
  assert.deepEqual(await get({ range: 'bytes=2-4' }, 'HEAD'), [206, 'bytes 2-4/10', '3', ''])
  assert.deepEqual(await get({ range: 'bytes=10-12' }), [416, 'bytes */10', '0', ''])
  assert.deepEqual(await get({}), [200, undefined, '10', file])
})

test('a download is resumed only if the file is unchanged', async (t) => {
  const get = await start(t)
  assert.deepEqual(await get({ range: 'bytes=5-9', 'if-range': etag }), [206, 'bytes 5-9/10', '5', 'fghij'])
  assert.deepEqual(await get({ range: 'bytes=5-9', 'if-range': '"v0"' }), [200, undefined, '10', file])
})

test('with Range listed If-Range passes too, or parts of two versions could be combined', async (t) => {
  const get = await start(t, { requestHeaders: ['range'], responseHeaders: [] })
  assert.deepEqual(await get({ range: 'bytes=5-9', 'if-range': '"v0"' }), [200, undefined, '10', file])
  assert.deepEqual(await get({ range: 'bytes=5-9', 'if-range': etag }), [206, 'bytes 5-9/10', '5', 'fghij'])
})
