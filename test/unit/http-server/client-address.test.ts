import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalAddress, clientAddress, clientKey } from '../../../http/client-address.ts'

const from = (ip: string | undefined, remoteAddress?: string) => ({ ip, socket: { remoteAddress } })

test('an address is brought to one canonical form', () => {
  for (const [text, address] of [
    ['192.0.2.1', '192.0.2.1'],
    [' 192.0.2.1 ', '192.0.2.1'],
    ['192.0.2.1:4711', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
    ['::', '::'],
  ]) {
    assert.equal(canonicalAddress(text), address)
  }
})

test('anything that is no IP address is dropped', () => {
  for (const text of [
    undefined,
    '',
    'unknown',
    '_hidden',
    'localhost',
    '1.2.3',
    '256.1.1.1',
    '01.2.3.4',
    '2130706433',
    '1.2.3.4, 5.6.7.8',
    '1.2.3.4:port',
    ':::',
    '[::1',
    '::1]',
    'g::1',
    '1.2.3.4/8',
    '<script>',
    '١.٢.٣.٤',
    'x'.repeat(10_000),
    `::1%${'x'.repeat(10_000)}`,
  ]) {
    assert.equal(canonicalAddress(text), undefined, String(text).slice(0, 20))
  }
})

test("the client's address is what a trusted proxy names, if that is an address, else the peer's; it may be missing", () => {
  assert.equal(clientAddress(from('192.0.2.1', '127.0.0.1')), '192.0.2.1')
  assert.equal(clientAddress(from('made-up', '::ffff:127.0.0.1')), '127.0.0.1')
  assert.equal(clientAddress(from('', '')), undefined)
  assert.equal(clientAddress(from(undefined)), undefined)
})

test('the key of a rate limit is a short hash: of the peer for made-up names, of the /64 network for IPv6', () => {
  const peer = clientKey(from('127.0.0.1'))
  assert.match(peer, /^[\w-]{22}$/)
  for (const name of ['a', 'b'.repeat(16_000)]) assert.equal(clientKey(from(name, '127.0.0.1')), peer)
  assert.notEqual(clientKey(from('192.0.2.1')), clientKey(from('192.0.2.2')))
  assert.equal(clientKey(from('2001:db8:1:2::1')), clientKey(from('2001:db8:1:2:ffff:ffff:ffff:ffff')))
  assert.equal(clientKey(from('2001:db8::1')), clientKey(from('2001:db8:0:0:5::')))
  assert.notEqual(clientKey(from('2001:db8:1:2::1')), clientKey(from('2001:db8:1:3::1')))
  assert.equal(clientKey(from(undefined)), clientKey(from('unknown')))
})
