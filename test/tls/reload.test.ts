import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import { pollingMs } from '../../plugins/edge/tls/index.ts'
import { selfSignedCertificate } from '../support/certificate.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { until } from '../support/until.ts'
import { request, startTlsGateway, type TlsGateway, writeCertificate } from './support.ts'

type Pair = ReturnType<typeof selfSignedCertificate>

async function start(t: TestContext, env: Record<string, string> = {}) {
  const clock = createFakeClock()
  const gateway = await startTlsGateway(t, [], { extras: { clock }, env })
  await until(() => clock.sleeping > 0)

  /** Lets the gateway check its files, and waits for the log line. */
  async function looks(event: string) {
    const before = gateway.logs.length
    const isVerdict = (line: Record<string, unknown>) => line['event'] === event
    await clock.advance(pollingMs)
    return until(() => gateway.logs.slice(before).find(isVerdict))
  }

  return { gateway, clock, looks }
}

function write({ certFile, keyFile }: { certFile: string; keyFile: string }, { cert, key }: Pair): void {
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key)
}

/** The certificate that a new connection gets. */
async function served({ port }: TlsGateway): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
  await once(socket, 'secureConnect')
  const { raw } = socket.getPeerCertificate()
  assert.equal(socket.alpnProtocol, 'h2')
  socket.destroy()
  return raw.toString('base64')
}

function base64Of({ cert }: Pick<Pair, 'cert'>): string {
  return cert.replaceAll(/-----.*-----|\n/g, '')
}

test('overwritten files are used for new connections, and open ones stay', async (t) => {
  const { gateway, looks } = await start(t)
  const session = await gateway.connect()
  const next = selfSignedCertificate()
  assert.equal(await served(gateway), base64Of(gateway))

  write(gateway, next)
  const { level, expiresAt } = await looks('tls.reloaded')

  assert.equal(level, 30)
  assert.ok(Date.parse(String(expiresAt)) > Date.now())
  assert.equal(await served(gateway), base64Of(next))
  assert.equal((await request(session, '/healthz')).status, 200)
})

test('after a reload TLS before 1.2 is still refused', async (t) => {
  const { gateway, looks } = await start(t)
  write(gateway, selfSignedCertificate())
  await looks('tls.reloaded')

  const socket = connect({
    port: gateway.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
  })

  await assert.rejects(once(socket, 'secureConnect'))
})

test('files that are replaced by renaming are reloaded', async (t) => {
  const { gateway, looks } = await start(t)
  const next = selfSignedCertificate()

  for (const [file, text] of [
    [gateway.certFile, next.cert],
    [gateway.keyFile, next.key],
  ] as const) {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  await looks('tls.reloaded')

  assert.equal(await served(gateway), base64Of(next))
})

test('a symbolic link that changes to another folder is reloaded, as with Kubernetes secrets', async (t) => {
  const { folder } = writeCertificate(t)
  const next = selfSignedCertificate()
  for (const [name, pair] of [
    ['..first', writeCertificate(t)],
    ['..second', next],
  ] as const) {
    mkdirSync(join(folder, name))
    write({ certFile: join(folder, name, 'tls.crt'), keyFile: join(folder, name, 'tls.key') }, pair)
  }
  symlinkSync('..first', join(folder, '..data'))
  for (const name of ['tls.crt', 'tls.key']) {
    rmSync(join(folder, name))
    symlinkSync(join('..data', name), join(folder, name))
  }
  const files = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') }
  const { gateway, looks } = await start(t, files)

  symlinkSync('..second', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  await looks('tls.reloaded')

  assert.equal(await served(gateway), base64Of(next))
})

test('an incomplete pair is logged once and not used, and used when it is complete', async (t) => {
  const { gateway, clock, looks } = await start(t)
  const next = selfSignedCertificate()

  writeFileSync(gateway.certFile, next.cert)
  const { level, reason } = await looks('tls.reload.failed')
  assert.deepEqual([level, reason], [50, 'TLS_KEY_FILE names a key that does not belong to the certificate'])
  assert.equal(await served(gateway), base64Of(gateway))

  for (let i = 0; i < 3; i++) {
    await clock.advance(pollingMs)
    await until(() => clock.sleeping > 0)
  }
  const failures = gateway.logs.filter(({ event }) => event === 'tls.reload.failed')
  assert.equal(failures.length, 1)

  writeFileSync(gateway.keyFile, next.key)
  await looks('tls.reloaded')
  assert.equal(await served(gateway), base64Of(next))
})

test('with missing, truncated or invalid files the old certificate is kept', async (t) => {
  const { gateway, looks } = await start(t)
  const { cert, key } = selfSignedCertificate()
  const reasons: unknown[] = []

  for (const bad of [cert.slice(0, 300), 'nonsense', '']) {
    write(gateway, { cert: bad, key })
    reasons.push((await looks('tls.reload.failed'))['reason'])
    write(gateway, { cert, key: bad })
    reasons.push((await looks('tls.reload.failed'))['reason'])
  }
  rmSync(gateway.keyFile)
  reasons.push((await looks('tls.reload.failed'))['reason'])

  assert.equal(reasons.at(-1), "A file can't be read (ENOENT)")
  assert.equal(await served(gateway), base64Of(gateway))
  const log = JSON.stringify(gateway.logs)
  for (const line of key.split('\n').filter((line) => /^\w/.test(line))) assert.ok(!log.includes(line))
})
