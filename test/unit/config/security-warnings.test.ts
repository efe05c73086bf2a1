import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Environment } from '../../../config/index.ts'
import { key, load, loadFile } from './support.ts'

const https = { PUBLIC_URL: 'https://app.example.com' }

function assertWarning(environment: Environment, pattern: RegExp): void {
  const { warnings } = load(environment)
  assert.equal(warnings.length, 1, warnings.join('\n') || JSON.stringify(environment))
  assert.match(warnings[0] ?? '', pattern)
}

function assertNoWarning(environment: Environment): void {
  assert.deepEqual(load(environment).warnings, [], JSON.stringify(environment))
}

test('a session cookie without a prefix on https causes a warning', () => {
  assertWarning(
    { ...https, COOKIE_NAME: 'shop' },
    /^COOKIE_NAME has no __Host- prefix: .* begin it with __Host-/,
  )
  assertNoWarning({ ...https, COOKIE_NAME: '__Host-shop' })
  assertNoWarning({ ...https, COOKIE_NAME: '__Secure-shop' })
  assertNoWarning(https)
  assertNoWarning({ COOKIE_NAME: 'shop' })
})

test('SameSite=None causes a warning', () => {
  assertWarning({ ...https, COOKIE_SAMESITE: 'none' }, /^COOKIE_SAMESITE is none: .* use strict or lax/)
  assertNoWarning({ ...https, COOKIE_SAMESITE: 'lax' })
})

test('TRUST_PROXY=true causes a warning', () => {
  assertWarning({ TRUST_PROXY: 'true' }, /^TRUST_PROXY is true: .* set the number of proxies/)
  for (const value of ['false', '1', '10.0.0.0/8', 'loopback']) assertNoWarning({ TRUST_PROXY: value })
})

test('Redis without TLS on another host causes a warning', () => {
  for (const url of [
    'redis://redis',
    'redis://user:hunter2@10.0.0.5:6379/2',
    'redis://:a@b/c@redis.example.com',
    'sentinel://localhost,sentinel-2:26379/master',
    'cluster://127.0.0.1:7000,10.0.0.5',
    'redis://[2001:db8::1]:6379',
  ]) {
    assertWarning({ REDIS_URL: url }, /^REDIS_URL is not encrypted .* use TLS \(rediss:\/\/\)$/)
    assert.ok(!load({ REDIS_URL: url }).warnings.join().includes('hunter2'))
  }
  for (const url of [
    'rediss://redis.example.com',
    'redis://localhost',
    'redis://:hunter2@127.0.0.1:6379',
    'redis://[::1]:6379/1',
    'cluster://127.0.0.1:7000,localhost:7001',
    'sentinel://127.0.0.1,[::1]:26379/master',
  ])
    assertNoWarning({ REDIS_URL: url })
})

test('an upstream that gets tokens over plain http on a network causes a warning', () => {
  const upstream = (target: string, token = 'user') =>
    loadFile({ upstreams: [{ prefix: '/news', target, token, insecure: true }] }).warnings
  for (const token of ['user', 'client', 'user-or-none']) {
    assert.match(
      upstream('http://news:8080', token).join(),
      /^The upstream at \/news is reached by plain http/,
    )
  }
  assert.deepEqual(upstream('http://news:8080', 'none'), [])
  assert.deepEqual(upstream('http://localhost:8080'), [])
  assert.deepEqual(upstream('https://news:8080'), [])
})

test('session keys that are not random bytes cause a warning', () => {
  const base64 = (bytes: Buffer | number[] | string) => Buffer.from(bytes as never).toString('base64')
  const count = (step: number) => Array.from({ length: 32 }, (_, index) => (index * step) % 256)
  for (const [weak, why] of [
    [base64(Buffer.alloc(32)), 'is a pattern'],
    [base64(Buffer.alloc(32, 0xff)), 'is a pattern'],
    [base64(count(1)), 'is a pattern'],
    [base64(count(7).toReversed()), 'is a pattern'],
    [base64(createHash('sha256').update('a').digest().subarray(0, 16).toString('hex')), 'is'],
    [base64('correct horse battery staple 123'), 'is text, not random bytes'],
    [base64(Buffer.concat([Buffer.alloc(16, 7), createHash('md5').update('a').digest()])), 'is a pattern'],
  ] as const) {
    assertWarning(
      { SESSION_KEYS: weak },
      new RegExp(`^The key in SESSION_KEYS ${why}.* make one with: node -p`),
    )
    assert.match(load({ SESSION_KEYS: `${key},${weak}` }).warnings.join(), /^Key 2 of SESSION_KEYS is/)
    assert.ok(!load({ SESSION_KEYS: weak }).warnings.join().includes(weak))
  }
})

test('ten thousand random keys cause no warning', () => {
  // Made from fixed seeds, so that this can't fail by chance.
  const keys = Array.from({ length: 10_000 }, (_, index) =>
    createHash('sha256').update(`key ${index}`).digest('base64'),
  )
  assertNoWarning({ SESSION_KEYS: keys.join(',') })
})

test('a session key that is listed twice causes a warning', () => {
  assertWarning({ SESSION_KEYS: `${key},${key}` }, /^Key 2 of SESSION_KEYS is there twice/)
})
