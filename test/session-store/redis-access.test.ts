import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import type { RedisAccess } from '../../plugins/session-store/redis-client.ts'
import { certificateAuthority } from '../support/certificate.ts'
import {
  type RedisTopology,
  startCluster,
  startSentinel,
  startSingle,
  type TopologyOptions,
} from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'
import { create, MINUTE, untilNotified } from './contract-support.ts'
import { openStore } from './redis-support.ts'

const topologies = {
  'a single Redis': startSingle,
  'a Sentinel set': startSentinel,
  'a Cluster': startCluster,
}

const authority = certificateAuthority()
const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-redis-access-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const clientPair = authority.issue('gateway')
const caFile = file('ca.pem', authority.cert)
const client = { certFile: file('client.pem', clientPair.cert), keyFile: file('client.key', clientPair.key) }

/** Certificates of servers at 127.0.0.1, or with another name than the address they announce. */
const byAddress = { ca: authority.cert, ...authority.issue('127.0.0.1') }
const byName = { ca: authority.cert, ...authority.issue('localhost') }

const ways: Record<string, { server: TopologyOptions; access?: RedisAccess }> = {
  'in plain text': { server: {} },
  'with a password': { server: { password: 'p@ss/word', login: ':p@ss/word' } },
  'as a user': {
    server: {
      config: ['user gateway on >s3cr:et ~bff:* &bff:changed +@all', 'user default on nopass ~* &* +@all'],
      login: 'gateway:s3cr%3Aet',
    },
  },
  'over TLS': { server: { tls: byAddress }, access: { caFile } },
  'over TLS, by name': { server: { tls: byName, host: 'localhost' }, access: { caFile } },
  'over TLS with a client certificate': {
    server: { tls: { ...byAddress, clientCertificates: true } },
    access: { caFile, ...client },
  },
}

for (const [where, start] of Object.entries(topologies)) {
  // In parallel, as the nodes of a Cluster take two seconds to agree.
  describe(where, { concurrency: 3 }, () => {
    for (const [how, { server, access }] of Object.entries(ways)) {
      test(`is reached ${how}`, async (t) => {
        const { url } = await started(t, start(server))
        await assertWorks(t, url, access)
      })
    }

    test('TLS to a server with an untrusted certificate is refused', async (t) => {
      const { url } = await started(t, start({ tls: byAddress }))
      await assertRefused(t, url, {})
    })

    test('TLS to a server with a certificate for another host is refused', async (t) => {
      const tls = { ca: authority.cert, ...authority.issue('redis.example.com') }
      const { url } = await started(t, start({ tls }))
      await assertRefused(t, url, { caFile })
    })

    test('a server that demands a client certificate refuses connections without one', async (t) => {
      const { url } = await started(t, start({ tls: { ...byAddress, clientCertificates: true } }))
      await assertRefused(t, url, { caFile })
    })
  })
}

test('a Cluster of one node, which does not know its own address, is reached over TLS', async (t) => {
  const { url } = await started(t, startCluster({ tls: byName, host: 'localhost', nodes: 1 }))
  await assertWorks(t, url, { caFile })
})

test('a Cluster whose nodes announce host names is reached over TLS, with certificates for these', async (t) => {
  const config = ['cluster-announce-hostname localhost', 'cluster-preferred-endpoint-type hostname']
  const { url } = await started(t, startCluster({ tls: byName, host: 'localhost', config }))
  await assertWorks(t, url, { caFile })
})

test('a Cluster whose nodes announce a port only is reached at the host of the URL', async (t) => {
  const config = ['cluster-preferred-endpoint-type unknown-endpoint']
  const { url } = await started(t, startCluster({ tls: byName, host: 'localhost', config }))
  await assertWorks(t, url, { caFile })
})

test('a master that the Sentinels know by name is reached over TLS, with a certificate for it', async (t) => {
  const { url } = await started(t, startSentinel({ tls: byName, host: 'localhost', masterHost: 'localhost' }))
  await assertWorks(t, url, { caFile })
})

test('Sentinels may have a different password than Redis', async (t) => {
  const { url } = await started(
    t,
    startSentinel({
      password: 'of-redis',
      sentinelConfig: ['requirepass of-sentinels'],
      login: ':of-redis',
    }),
  )
  await assertWorks(t, url, { sentinelPassword: 'of-sentinels' })
  await assertRefused(t, url, {})
})

test('Sentinels may have a password although Redis has none', async (t) => {
  const { url } = await started(t, startSentinel({ sentinelConfig: ['requirepass of-sentinels'] }))
  await assertWorks(t, url, { sentinelPassword: 'of-sentinels' })
})

test('without REDIS_SENTINEL_PASSWORD Sentinels get the password of the URL', async (t) => {
  const { url } = await started(
    t,
    startSentinel({
      password: 'shared',
      sentinelConfig: ['requirepass shared'],
      login: ':shared',
    }),
  )
  await assertWorks(t, url)
})

for (const start of [startSingle, startSentinel]) {
  test(`sessions are in the database that the URL names (${start.name})`, async (t) => {
    const { url, servers } = await started(t, start({ database: 3 }))
    const store = await assertWorks(t, url)
    await create(store, 'kept')
    const keyspace = await servers[0]?.send('INFO keyspace')
    assert.match(keyspace ?? '', /db3:/)
    assert.doesNotMatch(keyspace ?? '', /db0:/)
  })
}

test('a renewed client certificate is used for the next connection', async (t) => {
  const { url, servers } = await started(t, startSingle({ tls: { ...byAddress, clientCertificates: true } }))
  const foreign = certificateAuthority().issue('gateway')
  const [certFile, keyFile] = [file('renewed.pem', foreign.cert), file('renewed.key', foreign.key)]
  const store = await assertRefused(t, url, { caFile, certFile, keyFile })

  file('renewed.pem', clientPair.cert)
  file('renewed.key', clientPair.key)
  await until(() => store.ping().then(() => true))

  rmSync(certFile)
  await servers[0]?.restart()
  await until(() => store.ping().then(() => true))
})

test('a missing certificate file is an error at once', () => {
  assert.throws(() => openStore('rediss://localhost', { caFile: join(folder, 'nowhere.pem') }), /ENOENT/)
})

async function started(t: TestContext, starting: Promise<RedisTopology>): Promise<RedisTopology> {
  const topology = await starting
  t.after(() => topology.close())
  return topology
}

/** Asserts that commands, scripts and messages work. */
async function assertWorks(t: TestContext, url: string, access?: RedisAccess) {
  const [store, other] = [openStore(url, access), openStore(url, access)]
  t.after(() => Promise.all([store.close(), other.close()]))
  await until(() => store.ping().then(() => true))
  for (const id of ['a', 'b', 'c']) {
    await create(store, id)
    assert.equal((await other.read(id))?.version, 1)
  }
  // After a start with several attempts locks are not granted at first.
  const lock = await until(async () => {
    const outcome = await store.lock('a', MINUTE)
    return outcome.outcome === 'acquired' && outcome.lock
  })
  await lock.release()
  await untilNotified(store, other, 'a')
  return store
}

async function assertRefused(t: TestContext, url: string, access: RedisAccess) {
  const store = openStore(url, access)
  t.after(() => store.close())
  const error = await until(() =>
    store.ping().then(
      () => assert.fail('It was let in'),
      ({ cause }) => cause,
    ),
  )
  assert.ok(error instanceof Error)
  return store
}

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
