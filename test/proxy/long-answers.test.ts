import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createGzip, gunzipSync } from 'node:zlib'
import type { FastifyReply } from 'fastify'
import { startApplication } from '../plugin/support.ts'
import { closed } from '../support/closed.ts'
import { goes, open, readUntil, startGateway, startUpstream } from './support.ts'

// Long answers are written to the browser's connection piece by piece.

const bytes = randomBytes(700_000)

/** Answers with so many bytes as the path says, with or without their length. */
async function start(t: TestContext) {
  const upstream = await startUpstream(t, ({ url, request, response }) => {
    const [, length = '', how] = url.split('/')
    const body = bytes.subarray(0, Number(length))
    const headers = { 'content-type': 'application/octet-stream' }
    if (how === 'chunked') response.writeHead(200, headers)
    else response.writeHead(200, { ...headers, 'content-length': body.length })
    request.resume()
    for (let at = 0; at < body.length; at += 40_000) response.write(body.subarray(at, at + 40_000))
    response.end()
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  return { upstream, gateway }
}

for (const length of [1000, 17_000, 100_000, 130_000, 700_000]) {
  for (const how of ['sized', 'chunked']) {
    test(`an answer of ${length} bytes arrives as it was sent: ${how}`, async (t) => {
      const { gateway, upstream } = await start(t)
      const path = `/api/${length}/${how}`
      const { status, headers, body } = await gateway.call(path)
      assert.deepEqual([status, body.equals(bytes.subarray(0, length))], [200, true])
      if (how === 'sized') assert.equal(headers['content-length'], String(length))
      const head = await gateway.call(path, { method: 'HEAD' })
      assert.deepEqual([head.status, head.body.length], [200, 0])
      assert.equal(upstream.connections(), 1)
    })
  }
}

const hooks: Record<string, (stream: Readable, reply: FastifyReply) => unknown> = {
  'passed on': (stream) => stream,
  'passed on later': (stream) => turn().then(() => stream),
  'read along': (stream) => stream.on('data', () => {}),
  copied(stream) {
    stream.pipe(new PassThrough().resume())
    return stream
  },
  replaced: (stream) => stream.pipe(new PassThrough()),
  compressed(stream, reply) {
    reply.header('content-encoding', 'gzip').removeHeader('content-length')
    return stream.pipe(createGzip())
  },
  'turned into a Buffer': async (stream) => Buffer.concat(await stream.toArray()),
}

for (const [what, hook] of Object.entries(hooks)) {
  test(`a long answer that a hook of an application gets is a stream that may be ${what}`, async (t) => {
    const { upstream } = await start(t)
    const { app } = await startApplication(t, {
      bff: { upstreams: [{ prefix: '/api', target: upstream.url, token: 'none' }] },
      before: (application) =>
        application.addHook('onSend', (_request, reply, payload, done) => {
          const result = hook(payload as Readable, reply)
          if (result instanceof Promise) result.then((changed) => done(null, changed), done)
          else done(null, result)
        }),
    })
    for (const length of [100_000, 700_000]) {
      for (const how of ['sized', 'chunked']) {
        const { rawPayload, statusCode } = await app.inject({
          url: `/api/${length}/${how}`,
          headers: { 'x-csrf': '1', host: 'localhost:3000' },
        })
        const got = what === 'compressed' ? gunzipSync(rawPayload) : rawPayload
        assert.deepEqual([statusCode, got.equals(bytes.subarray(0, length))], [200, true], `${length} ${how}`)
      }
    }
  })
}

test('a long answer that the upstream breaks off is broken off for the browser', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, { 'content-length': 500_000 }).write(bytes.subarray(0, 200_000))
    setImmediate(() => response.destroy())
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  await assert.rejects(gateway.call('/api/x'), { code: 'ECONNRESET' })
})

test('a browser that goes in the middle of a long answer ends the request to the upstream', async (t) => {
  let answering: ServerResponse | undefined
  const upstream = await startUpstream(t, ({ response }) => {
    answering = response
    response.writeHead(200, { 'content-type': 'text/plain' }).write('begun')
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x')
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {})
  await readUntil(incoming, 'begun').catch(() => {})
  const ended = closed(answering as ServerResponse)
  await goes(gateway, outgoing)
  await ended
})
