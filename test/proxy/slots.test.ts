import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { closed } from '../support/closed.ts'
import { goes, open, publicHost, signIn, startGateway, startTcpUpstream } from './support.ts'

/** The upstream's behaviour, by path. */
const answers: Record<string, string> = {
  '/ok': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '/empty': 'HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n',
  '/same': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n',
  '/continue': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '/short': 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort',
  '/odd-status': 'HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok',
  '/refused': 'HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno',
  '/more':
    'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="insufficient_user_authentication"\r\nContent-Length: 2\r\n\r\nno',
  '/garbage': 'nonsense\r\n\r\n',
  '/switch': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
  '/stream': 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n',
  '/interim': 'HTTP/1.1 102 Processing\r\n\r\n',
  '/nothing': '',
}

test('after any outcome of a request its connection slot is free for the next', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const paths: string[] = []
  const upstream = await startTcpUpstream(t, (socket) => {
    const path = paths.at(-1) ?? ''
    if (path === '/reset') socket.resetAndDestroy()
    else socket.write(answers[path] ?? '')
    if (path === '/short' || path === '/garbage') socket.end()
  })
  const one = { target: upstream.url, token: 'user' as const, connections: 1, timeoutMs: 1000 }
  const gateway = await startGateway(t, [one], { issuer })
  const headers = { cookie: await signIn(gateway) }
  const works = async (after: string) => {
    paths.push('/ok')
    assert.equal((await gateway.call('/api/ok', { headers })).text, 'ok', after)
  }

  for (const path of [...Object.keys(answers), '/reset']) {
    for (const options of [
      {},
      { method: 'HEAD' },
      { method: 'POST', body: 'hi' },
      { body: 'hi', chunked: true },
    ]) {
      if (path === '/stream') continue
      paths.push(path)
      await gateway.call(`/api${path}`, { headers, ...options }).catch(() => {})
      await works(`${path} ${JSON.stringify(options)}`)
    }
  }
  for (const path of ['/nothing', '/interim', '/stream']) {
    paths.push(path)
    const before = upstream.requests()
    const leaving = open(gateway.port, `/api${path}`, { headers }).on('error', () => {})
    leaving.end()
    while (upstream.requests() === before) await new Promise(setImmediate)
    const gone = closed(leaving)
    await goes(gateway, leaving)
    await gone
    await works(`a browser that left ${path}`)
  }
})

test('pipelined requests of a browser that leaves give all their slots back', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  let answered = 0
  const upstream = await startTcpUpstream(t, (socket) => {
    answered++
    socket.write(answered === 1 ? (answers['/stream'] ?? '') : (answers['/ok'] ?? ''))
  })
  const one = { target: upstream.url, token: 'user' as const, connections: 1 }
  const gateway = await startGateway(t, [one], { issuer })
  const headers = { cookie: await signIn(gateway) }

  const browser = connect(gateway.port, '127.0.0.1').on('error', () => {})
  const head = `Host: ${publicHost(gateway.port)}\r\nX-CSRF: 1\r\nCookie: ${headers.cookie}\r\n\r\n`
  browser.write(`GET /api/stream HTTP/1.1\r\n${head}`.repeat(3))
  await once(browser, 'data')
  browser.destroy()

  assert.equal((await gateway.call('/api/ok', { headers })).text, 'ok')
  assert.equal(upstream.requests(), 2)
})
