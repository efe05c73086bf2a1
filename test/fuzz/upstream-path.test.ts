import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { rawGet, startGateway, startUpstream } from '../proxy/support.ts'
import { pathTraversals } from '../support/corpus.ts'
import { assertRefused, inputs, mutationsOf, parseAnswer, report } from './support.ts'

const base = '/v1/tenant'
const piece = fc.constantFrom(
  ...[
    '/',
    '//',
    '\\',
    '.',
    '..',
    '...',
    ';',
    '?',
    '#',
    '%',
    '@',
    ':',
    '*',
    'a',
    'api',
    'tenant',
    '[',
    '|',
    '"',
  ],
  ...[
    '%2f',
    '%2F',
    '%5c',
    '%2e',
    '%2E',
    '%00',
    '%09',
    '%0a',
    '%0d',
    '%20',
    '%23',
    '%3f',
    '%3b',
    '%25',
    '%7f',
  ],
  ...[
    '%252e',
    '%252f',
    '%c0%ae',
    '%c0%af',
    '%e2%80%a6',
    '%c2%a0',
    '%zz',
    '%u002e',
    '\x01',
    '\xe9',
    'evil.example',
  ],
)
const traversal = fc.constantFrom(...pathTraversals())
const below = fc.oneof(
  fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join('')),
  traversal,
  traversal.chain((path) => mutationsOf(path, piece)),
  fc.tuple(fc.webPath(), traversal, fc.webPath()).map((parts) => parts.join('')),
  fc.webPath({ size: 'large' }),
)
const query = fc.oneof(
  fc.constantFrom('', '?'),
  fc.array(piece, { maxLength: 5 }).map((pieces) => `?${pieces.join('')}`),
)
const prefix = fc.constantFrom(
  ...['/api/', '/api/', '/api/', '/api', '/%61pi/', '/api/../', '/./api/', '//api/', '/api%2f', '/x/../api/'],
  ...['http://localhost/api/', 'http://evil.example/api/', '/api/a/b/../..', '/API/'],
)

test('a path reaches the upstream byte for byte below its base path, or not at all', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url + base }])
  let [tried, forwarded] = [0, 0]

  await fc.assert(
    fc.asyncProperty(prefix, below, query, async (start, path, search) => {
      tried++
      const wanted = start + path + search
      const answer = parseAnswer((await rawGet(gateway.port, wanted)).answer)
      assert.ok(answer)
      const [arrival, ...more] = upstream.arrivals.splice(0)
      assert.deepEqual(more, [])
      if (!arrival) return void assertRefused(answer)

      forwarded++
      assert.equal(answer.status, 200)
      const isPlain = /^\/api(?=[/?]|$)(.*)$/.exec(wanted)
      if (isPlain) assert.equal(arrival.url, base + isPlain[1])
      const [arrivedPath = ''] = arrival.url.split('?')
      for (const read of [arrivedPath, decodedOnce(arrivedPath)]) assertBelow(read)
    }),
    inputs(2000),
  )
  assert.ok(forwarded > 0)
  report(t, { paths: tried, forwarded })
})

/** As an upstream that normalises paths, or a proxy in front of it, would read it. */
function assertBelow(path: string): void {
  const { pathname, host } = new URL(path, 'http://upstream.example')
  assert.equal(host, 'upstream.example')
  assert.match(`${pathname}/`, /^\/v1\/tenant\//, JSON.stringify(path))
}

function decodedOnce(path: string): string {
  return path.replaceAll(/%[\da-f]{2}/gi, (triplet) =>
    String.fromCharCode(Number.parseInt(triplet.slice(1), 16)),
  )
}
