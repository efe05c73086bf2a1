import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { listen, stop } from '../../demo/listen.ts'
import { type Environment, runServer, sessionKey } from '../support/gateway.ts'

const good: Environment = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://app.example.com/shop',
  // Nothing listens there.
  OIDC_ISSUER: 'http://127.0.0.1:9',
  OIDC_CLIENT_ID: 'gateway',
  OIDC_CLIENT_SECRET: 'a-client-secret',
  SESSION_KEYS: sessionKey,
  REDIS_URL: 'redis://user:a-redis-password@127.0.0.1:9',
  API_URL: 'http://127.0.0.1:9/v1',
}

const bad: Environment = {
  NODE_ENV: 'production',
  PORT: 'many',
  OIDC_ISSUER: 'http://login.example.com',
  OIDC_CLIENT_SECRET: 'a-client-secret',
  SESSION_KEYS: 'dG9vIHNob3J0',
  SESSION_IDLE_TIMEOUT: '8 hours',
  API_URL: 'api.example.com',
}
const faulty = [
  'PORT',
  'PUBLIC_URL',
  'OIDC_ISSUER',
  'OIDC_CLIENT_ID',
  'SESSION_KEYS',
  'SESSION_IDLE_TIMEOUT',
  'API_URL',
]

test('--check-config prints the effective configuration, with secrets masked, and exits with 0', async () => {
  const { code, stdout, stderr } = await runServer(['--check-config'], good)

  assert.equal(code, 0, stderr)
  assert.match(stdout, /^PUBLIC_URL=https:\/\/app\.example\.com\/shop$/m)
  assert.match(stdout, /^COOKIE_NAME=__Host-bff$/m)
  assert.match(stdout, /^SESSION_LIFETIME=7d$/m)
  assert.match(stdout, /^OIDC_CLIENT_SECRET=\*+$/m)
  assert.match(stdout, /^REDIS_URL=redis:\/\/user:\*+@127\.0\.0\.1:9$/m)
  for (const secret of ['a-client-secret', 'a-redis-password', sessionKey])
    assert.ok(!`${stdout}${stderr}`.includes(secret), secret)
})

for (const [name, args] of [
  ['--check-config', ['--check-config']],
  ['a start', []],
] as const) {
  test(`${name} lists every fault of a wrong configuration at once, and exits with 2`, async () => {
    const { code, stdout, stderr } = await runServer([...args], bad)

    assert.equal(code, 2)
    assert.equal(stdout, '')
    const lines = stderr.trim().split('\n')
    assert.match(lines[0] ?? '', /7 faults/)
    for (const variable of faulty)
      assert.equal(lines.filter((line) => line.startsWith(`  - ${variable} `)).length, 1, variable)
    assert.ok(!stderr.includes('a-client-secret') && !stderr.includes('dG9vIHNob3J0'))
  })
}

test('warnings of --check-config go to stderr, so that programs can read its output', async () => {
  const { SESSION_KEYS: _, NODE_ENV: __, ...development } = good
  const { code, stdout, stderr } = await runServer(['--check-config'], development)

  assert.equal(code, 0)
  assert.match(stderr, /^Warning: SESSION_KEYS is not set/m)
  assert.ok(
    stdout
      .trim()
      .split('\n')
      .every((line) => /^[\w[\]]+=/.test(line)),
    stdout,
  )
})

test('an unknown argument prevents the start', async () => {
  const { code, stderr } = await runServer(['--check-konfig'], good)

  assert.equal(code, 2)
  assert.match(stderr, /--check-konfig/)
  assert.match(stderr, /Usage: /)
})

test('--help prints the usage, and starts nothing', async () => {
  const { code, stdout } = await runServer(['--help'], {})

  assert.equal(code, 0)
  assert.match(stdout, /--check-config/)
})

test('with a port in use the process exits with 1 and logs the port', async (t) => {
  const server = createServer()
  const port = await listen(server, 0)
  t.after(() => stop(server))

  const env = { ...good, HOST: '127.0.0.1', PORT: String(port) }
  const { code, stdout, stderr } = await runServer([], env)

  assert.equal(code, 1, stderr)
  const fatal = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .find(({ level }) => level === 60)
  assert.equal(fatal.msg, `Can't listen on 127.0.0.1, port ${port}`)
  assert.equal(fatal.err.code, 'EADDRINUSE')
})

test('a .env file in the working directory is read, and the environment wins over it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-env-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const lines = Object.entries({ ...good, OIDC_CLIENT_ID: 'of-the-file' }).map(
    ([name, value]) => `${name}=${value}`,
  )
  writeFileSync(join(folder, '.env'), ['# Ours', ...lines, 'CSRF_HEADER="x-from-file"'].join('\n'))

  const { code, stdout, stderr } = await runServer(
    ['--check-config'],
    { OIDC_CLIENT_ID: 'of-the-environment' },
    folder,
  )

  assert.equal(code, 0, stderr)
  assert.match(stdout, /^CSRF_HEADER=x-from-file$/m)
  assert.match(stdout, /^OIDC_CLIENT_ID=of-the-environment$/m)
})
