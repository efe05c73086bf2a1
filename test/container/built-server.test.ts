import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { selfSignedCertificate } from '../support/certificate.ts'
import { freePort } from '../support/free-port.ts'

const root = resolve(import.meta.dirname, '../..')
/** The last stage of the Dockerfile: the gateway's image. */
const stage =
  readFileSync(join(root, 'Dockerfile'), 'utf8')
    .split(/^FROM /m)
    .at(-1) ?? ''
const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-build-'))

// As in the image: the build's output, package.json and the dependencies, without TypeScript.
before(async () => {
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const options = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')]
  const { code, output } = await finished(spawn(process.execPath, [compiler, ...options], { stdio: 'pipe' }))
  assert.equal(code, 0, output)
})

after(() => rmSync(folder, { recursive: true, force: true }))

test('the built server lists every fault of its configuration and exits with 2', async () => {
  const { code, output } = await finished(startImage({ NODE_ENV: 'production', PORT: 'x' }))

  assert.equal(code, 2, output)
  for (const name of ['PORT', 'OIDC_ISSUER', 'SESSION_KEYS', 'PUBLIC_URL'])
    assert.match(output, new RegExp(name))
})

test('the built server checks a valid configuration, and shows no secret', async () => {
  const { code, output } = await finished(startImage({ ...good, PORT: '3000' }, '--check-config'))

  assert.equal(code, 0, output)
  assert.match(output, /OIDC_ISSUER/)
  assert.doesNotMatch(output, new RegExp(`${good.OIDC_CLIENT_SECRET}|${good.SESSION_KEYS}`))
})

const schemes = {
  'plain HTTP': () => ({}),
  'TLS of its own': () => {
    const { cert, key } = selfSignedCertificate()
    const tls = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') }
    writeFileSync(tls.TLS_CERT_FILE, cert)
    writeFileSync(tls.TLS_KEY_FILE, key)
    return { ...tls, PUBLIC_URL: 'https://app.example.com' }
  },
}

for (const [scheme, environmentOf] of Object.entries(schemes)) {
  test(`over ${scheme} the image's health check works on any port, and SIGTERM makes it exit with 0`, async (t) => {
    const environment = { ...good, ...environmentOf(), PORT: String(await freePort()), SHUTDOWN_DELAY: '0s' }
    const server = startImage(environment)
    t.after(() => server.kill('SIGKILL'))
    const ended = finished(server)
    await listening(server)

    const check = () => finished(startNode(instruction('HEALTHCHECK[^[]*CMD'), environment))
    assert.equal((await check()).code, 0)

    server.kill('SIGTERM')
    const { code, output } = await ended
    assert.equal(code, 0, output)
    assert.equal((await check()).code, 1)
  })
}

const good = {
  NODE_ENV: 'production',
  HOST: '127.0.0.1',
  PUBLIC_URL: 'http://localhost:8080',
  // Nothing listens there: an issuer that is down doesn't stop the start.
  OIDC_ISSUER: 'http://127.0.0.1:9',
  OIDC_CLIENT_ID: 'gateway',
  OIDC_CLIENT_SECRET: 'do-not-show-this',
  SESSION_KEYS: Buffer.alloc(32, 'key').toString('base64'),
  API_URL: 'http://127.0.0.1:9',
}

/** Starts the image's CMD. */
function startImage(environment: NodeJS.ProcessEnv, ...more: string[]): ChildProcess {
  return startNode([...instruction('^CMD'), ...more], environment)
}

function startNode([program, ...options]: string[], environment: NodeJS.ProcessEnv): ChildProcess {
  assert.equal(program, 'node')
  const { PATH, NODE_V8_COVERAGE } = process.env
  const env = { PATH, ...(NODE_V8_COVERAGE && { NODE_V8_COVERAGE }), ...environment }
  return spawn(process.execPath, options, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** The arguments of a Dockerfile instruction in exec form. */
function instruction(name: string): string[] {
  const [, list = ''] = new RegExp(`${name} (\\[.*\\])$`, 'm').exec(stage) ?? []
  return JSON.parse(list)
}

async function listening({ stdout }: ChildProcess): Promise<void> {
  assert.ok(stdout)
  for await (const [text] of on(stdout, 'data', { close: ['end'] })) if (text.includes('listening')) return
  assert.fail('It ended without listening')
}

async function finished(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text) => (output += text))
  await once(child, 'close')
  return { code: child.exitCode, output }
}
