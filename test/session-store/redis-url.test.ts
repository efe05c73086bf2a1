import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRedisUrl, type RedisTarget } from '../../config/index.ts'

const understood: Record<string, RedisTarget> = {
  'redis://localhost': {
    kind: 'single',
    node: { host: 'localhost', port: 6379 },
    db: 0,
    tls: false,
    credentials: {},
  },
  'redis://:p%40ss@10.0.0.1:6380/2': {
    kind: 'single',
    node: { host: '10.0.0.1', port: 6380 },
    db: 2,
    tls: false,
    credentials: { password: 'p@ss' },
  },
  'rediss://user:p@s/s:w@[2001:db8::1]:6380/': {
    kind: 'single',
    node: { host: '2001:db8::1', port: 6380 },
    db: 0,
    tls: true,
    credentials: { username: 'user', password: 'p@s/s:w' },
  },
  'sentinel://a,b:26380/my-master': {
    kind: 'sentinel',
    sentinels: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 26380 },
    ],
    masterName: 'my-master',
    db: 0,
    tls: false,
    credentials: {},
  },
  'cluster://user:secret@a:7000,b:7001, c': {
    kind: 'cluster',
    nodes: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 7001 },
      { host: 'c', port: 6379 },
    ],
    tls: false,
    credentials: { username: 'user', password: 'secret' },
  },
  'sentinels://user:secret@a/my-master/3': {
    kind: 'sentinel',
    sentinels: [{ host: 'a', port: 26379 }],
    masterName: 'my-master',
    db: 3,
    tls: true,
    credentials: { username: 'user', password: 'secret' },
  },
  'clusters://[::1]:7000': {
    kind: 'cluster',
    nodes: [{ host: '::1', port: 7000 }],
    tls: true,
    credentials: {},
  },
  'REDISS://localhost': {
    kind: 'single',
    node: { host: 'localhost', port: 6379 },
    db: 0,
    tls: true,
    credentials: {},
  },
}

for (const [url, target] of Object.entries(understood)) {
  test(`${url} is accepted`, () => assert.deepEqual(parseRedisUrl(url), target))
}

const refused = {
  '': /known forms/,
  'localhost:6379': /known forms/,
  'http://:hunter2@localhost': /known forms/,
  'redis//:hunter2@localhost': /known forms/,
  'redis://': /host or port/,
  'redis://:hunter2@': /host or port/,
  'redis://:hunter2@localhost:99999': /host or port/,
  'redis://:hunter2@localhost:0': /host or port/,
  'redis://:hunter2@local host': /host or port/,
  'redis://:hunter2@a,b': /several hosts/,
  'redis://:hunter2@localhost/sessions': /database/,
  'redis://hunter2@localhost': /user without a password/,
  'redis://:hunter2%@localhost': /percent-encoded/,
  'redis://:hunter2@localhost?tls=true': /query/,
  'redis://:hunter2#@localhost': /query or fragment/,
  'redis://:hunter2@[1234]': /host or port/,
  'redis+sentinel://:hunter2@a/sessions': /known forms/,
  'sentinel://:hunter2@a:26379': /master's name/,
  'sentinel://:hunter2@a/sessions/first': /database/,
  'sentinels://:hunter2@a/sessions/1/2': /database/,
  'clusters://:hunter2@a/0': /only database 0/,
  'cluster://:hunter2@a,b/1': /only database 0/,
  'cluster://:hunter2@a,,b': /host or port/,
}

for (const [url, reason] of Object.entries(refused)) {
  test(`"${url}" is refused, without showing its password`, () => {
    assert.throws(
      () => parseRedisUrl(url),
      (error) => {
        assert.ok(error instanceof TypeError)
        assert.match(error.message, reason)
        assert.doesNotMatch(error.message, /hunter2/)
        return true
      },
    )
  })
}
