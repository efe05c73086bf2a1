import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { closed, startUpstream } from '../proxy/support.ts'
import { openStream, replyOf, request, startTlsGateway } from './support.ts'

test('an upstream sees none of the pseudo headers, and where the browser was', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  const { status, text } = await request(session, '/api/a?b=c', { 'x-own': 'kept', cookie: 'a=b' })

  assert.equal(status, 200)
  assert.equal(text, 'ok')
  const [{ method, url, headers } = assert.fail()] = upstream.arrivals
  assert.equal(`${method} ${url}`, 'GET /a?b=c')
  assert.deepEqual(headers, {
    connection: 'keep-alive',
    host: `127.0.0.1:${upstream.port}`,
    'x-own': 'kept',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': `localhost:${gateway.port}`,
    'x-forwarded-proto': 'https',
  })
})

test('the authority counts, whatever a host header beside it claims', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  await request(session, '/api/', { ':authority': 'app.example.com', host: 'evil.example' }).catch(() => {})

  for (const { headers } of upstream.arrivals) assert.equal(headers['x-forwarded-host'], 'app.example.com')
})

test('a body without length and type reaches the upstream', async (t) => {
  const upstream = await startUpstream(t, async ({ request, response }) => {
    response.end(Buffer.concat(await request.toArray()))
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  assert.equal((await request(session, '/api/', {}, 'a body')).text, 'a body')
  assert.equal((await request(session, '/api/', { 'content-length': 6 }, 'a body')).text, 'a body')
})

test('a browser that resets its stream aborts the request of the upstream', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const stream = openStream(await gateway.connect(), '/api/x')
  const { response } = await upstream.nextArrival()
  const aborted = closed(response)

  stream.session?.destroy()

  await aborted
  assert.equal(upstream.arrivals.length, 1)
})

test('a browser that goes in mid-upload aborts it', async (t) => {
  const upstream = await startUpstream(t, ({ request }) => request.on('error', () => {}))
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const stream = openStream(await gateway.connect(), '/api/x', { ':method': 'POST' })
  stream.write('half')
  const { request: upload } = await upstream.nextArrival()
  await once(upload, 'data')
  const gone = closed(upload)

  stream.session?.destroy()

  await gone
  assert.equal(upload.complete, false)
})

test('an answer that breaks off is never taken for whole', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200).write('half')
    setImmediate(() => response.destroy())
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const stream = openStream(await gateway.connect(), '/api/x')

  await assert.rejects(replyOf(stream))
  assert.equal(stream.rstCode, 2)
})
