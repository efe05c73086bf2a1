import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { listen, stop } from '../../../demo/listen.ts'
import { failureReason } from '../../../plugins/issuer/grant-failure.ts'
import { boundedFetch } from '../../../plugins/issuer/transport.ts'

const megabyte = 1024 * 1024

async function start(t: TestContext, answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((_request, response) => answer(response))
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return `http://127.0.0.1:${port}/`
}

async function reasonOf(url: string): Promise<string> {
  return boundedFetch(url).then(() => 'none', failureReason)
}

test('an answer passes unchanged: status, headers and body, if any', async (t) => {
  const body = gzipSync(JSON.stringify({ keys: [], text: 'x'.repeat(20_000) }))
  const url = await start(t, (response) =>
    response.writeHead(400, { 'content-encoding': 'gzip', 'retry-after': '7' }).end(body),
  )
  const answer = await boundedFetch(url)
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [400, '7'])
  assert.equal(((await answer.json()) as { text: string }).text.length, 20_000)

  const empty = await boundedFetch(await start(t, (response) => response.writeHead(204).end()))
  assert.deepEqual([empty.status, empty.body], [204, null])
})

test('an answer of more than a megabyte is refused: uncompressed, after decompression, and endless', async (t) => {
  const exactly = await start(t, (response) => response.end(Buffer.alloc(megabyte)))
  assert.equal(await reasonOf(exactly), 'none')
  const bomb = gzipSync(Buffer.alloc(64 * megabyte))
  assert.ok(bomb.length < 100_000)
  const answers: ((response: ServerResponse) => void)[] = [
    (response) => response.end(Buffer.alloc(megabyte + 1)),
    (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    (response) => {
      const chunk = Buffer.alloc(64 * 1024)
      const write = () => {
        while (!response.destroyed && response.write(chunk));
      }
      response.on('drain', write)
      write()
    },
  ]
  for (const answer of answers)
    assert.equal(await reasonOf(await start(t, answer)), 'ISSUER_ANSWER_TOO_LARGE')
})

test('a key set has at most 200 keys', async (t) => {
  const keySet = (length: number) =>
    JSON.stringify({
      keys: Array.from({ length }, (_, kid) => ({ kty: 'EC', kid: `key ${kid}`, x: 'x'.repeat(43) })),
    })
  assert.equal(await reasonOf(await start(t, (response) => response.end(keySet(200)))), 'none')
  assert.equal(
    await reasonOf(await start(t, (response) => response.end(keySet(201)))),
    'ISSUER_TOO_MANY_KEYS',
  )
})

test('an endless body ends with the signal', async (t) => {
  const url = await start(t, (response) => response.write('{'))
  const leaving = new AbortController()
  const answer = boundedFetch(url, { signal: leaving.signal })
  setImmediate(() => leaving.abort(new DOMException('too late', 'TimeoutError')))
  await assert.rejects(answer, { name: 'TimeoutError' })
})
