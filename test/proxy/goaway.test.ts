import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { type TestContext, test } from 'node:test'
import { closed } from '../support/closed.ts'
import { errorCode, open, startGateway } from './support.ts'
import { cert, startTlsApi } from './tls-support.ts'

/** An API that sends GOAWAY at `/leave`, and answers everything else. */
async function start(
  t: TestContext,
  leave: (request: Http2ServerRequest, response: Http2ServerResponse, count: number) => unknown,
) {
  const urls: string[] = []
  const api = await startTlsApi(t, {}, (request, response) => {
    urls.push(request.url)
    request.stream.on('error', () => {})
    if (request.url === '/leave') leave(request, response, urls.length)
    else response.end('ok')
  })
  const target = { target: api.url, ca: cert, http2: true, connections: 1 }
  return { api, urls, gateway: await startGateway(t, [target]) }
}

/** Sends GOAWAY with this request as the last one to be answered. */
function sayLast({ stream }: Http2ServerRequest): void {
  stream.session?.goaway(constants.NGHTTP2_NO_ERROR, stream.id)
}

for (const when of ['before its answer', 'in mid-answer']) {
  test(`a request under way is answered although the upstream sends GOAWAY ${when}`, async (t) => {
    const { urls, gateway } = await start(t, async (request, response) => {
      if (when === 'in mid-answer') response.write('wh')
      sayLast(request)
      // The answering handler has sent GOAWAY before.
      await new Promise((resolve) => request.stream.session?.ping(resolve))
      response.end(when === 'in mid-answer' ? 'ole' : 'whole')
    })
    assert.equal((await gateway.call('/api/leave')).text, 'whole')
    assert.equal((await gateway.call('/api/x')).text, 'ok')
    assert.deepEqual(urls, ['/leave', '/x'])
  })
}

/** Sends GOAWAY that excludes this request from those that were processed. */
function sayUnprocessed({ stream }: Http2ServerRequest, code: number): void {
  stream.session?.goaway(code, Number(stream.id) - 2)
}

for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_ENHANCE_YOUR_CALM]) {
  test(`a request that GOAWAY excludes from the processed ones is repeated: ${code}`, async (t) => {
    const { urls, gateway } = await start(t, (request, response, count) => {
      if (count === 2) sayUnprocessed(request, code)
      else response.end('done')
    })
    await gateway.call('/api/x')
    assert.equal((await gateway.call('/api/leave', { method: 'DELETE' })).text, 'done')
    assert.deepEqual(urls, ['/x', '/leave', '/leave'])
  })
}

test('a body that was not buffered is not sent again', async (t) => {
  const { urls, gateway } = await start(t, (request) => sayUnprocessed(request, constants.NGHTTP2_NO_ERROR))
  await gateway.call('/api/x')
  const reply = await gateway.call('/api/leave', { method: 'POST', body: 'x' })
  assert.deepEqual([reply.status, errorCode(reply)], [502, 'BFF_UPSTREAM_UNREACHABLE'])
  assert.deepEqual(urls, ['/x', '/leave'])
})

test('an answer aborted after GOAWAY is never treated as complete, and the next request is answered', async (t) => {
  const { gateway } = await start(t, async (request, response) => {
    response.write('half')
    sayLast(request)
    const { session } = request.stream
    await new Promise((resolve) => session?.ping(resolve))
    session?.destroy()
  })
  await assert.rejects(gateway.call('/api/leave'), { code: 'ECONNRESET' })
  assert.equal((await gateway.call('/api/x')).text, 'ok')
})

test('a browser that disconnects after GOAWAY leaves no unusable connection behind', async (t) => {
  const { api, gateway } = await start(t, (request, response) => {
    response.write('half')
    sayLast(request)
  })
  const outgoing = open(gateway.port, '/api/leave')
  outgoing.on('error', () => {}).end()
  const [[{ stream }], [incoming]] = await Promise.all([
    once(api.events, 'request'),
    once(outgoing, 'response'),
  ])
  incoming.on('error', () => {})
  await new Promise((resolve) => stream.session.ping(resolve))
  const gone = closed(stream)

  outgoing.destroy()

  await gone
  assert.equal((await gateway.call('/api/x')).text, 'ok')
})
