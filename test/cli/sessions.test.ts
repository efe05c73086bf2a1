import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { sessionsCommand } from '../../cli/sessions.ts'
import { freePort } from '../support/free-port.ts'
import { runServer } from '../support/gateway-process.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const token = randomBytes(32).toString('base64url')

async function start(t: TestContext) {
  const env = { ADMIN_PORT: String(await freePort()), ADMIN_TOKEN: token }
  const gateway = await startInjectGateway(t, { env })
  const run = async (args: string[], environment: Record<string, string> = env) => {
    const [out, err]: [string[], string[]] = [[], []]
    const code = await sessionsCommand(args, environment, {
      out: (text) => void out.push(`${text}\n`),
      err: (text) => void err.push(`${text}\n`),
    })
    return { code, out: out.join(''), err: err.join('') }
  }
  return { ...gateway, env, run }
}

test('fastify-bff sessions lists and ends the sessions of a user', async (t) => {
  const { newBrowser, run } = await start(t)
  const browsers = [newBrowser(), newBrowser(), newBrowser()] as const
  for (const browser of browsers) await browser.signIn('alice', { 'user-agent': 'A phone\u009b31m' })
  const bob = newBrowser()
  await bob.signIn('bob')

  const { code, out } = await run(['--sub', 'alice'])
  assert.equal(code, 0)
  assert.equal(out.match(/browser {3}A phone\?31m/g)?.length, 3, out)
  const listed = JSON.parse((await run(['--sub', 'alice', '--json'])).out)
  assert.equal(listed.length, 3)

  assert.deepEqual(await run(['--id', listed[0].id, '--end']), { code: 0, out: '1 session ended\n', err: '' })
  assert.equal((await run(['--sub', 'alice', '--end'])).out, '2 sessions ended\n')
  for (const browser of browsers) assert.equal((await browser.call('/bff/user')).statusCode, 401)
  assert.equal((await run(['--sub', 'alice'])).out, 'The user has no sessions\n')
  assert.equal((await bob.call('/bff/user')).statusCode, 200)

  assert.deepEqual(JSON.parse((await run(['--end-all', '--yes', '--json'])).out), { ended: 1 })
  assert.equal((await bob.call('/bff/user')).statusCode, 401)
})

test('without a confirmation, a user or the token nothing is done, and the exit code says why', async (t) => {
  const { newBrowser, run, env } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  for (const [args, environment, message] of [
    [[], env, /Name a user by --sub/],
    [['--end-all'], env, /confirm it by --yes/],
    [['--id', 'x'], env, /--id needs --end/],
    [['--sub', 'alice', '--end-all', '--yes'], env, /Name a user/],
    [['--sub', 'alice', '--unknown'], env, /--unknown/],
    [['--sub', 'alice'], { ...env, ADMIN_TOKEN: '' }, /ADMIN_TOKEN is not set/],
    [['--sub', 'alice'], { ADMIN_TOKEN: token }, /ADMIN_PORT is not set/],
    [['--sub', 'alice', '--url', 'localhost'], env, /--url must begin/],
  ] as [string[], Record<string, string>, RegExp][]) {
    const { code, out, err } = await run(args, environment)
    assert.deepEqual([code, out], [2, ''], args.join(' '))
    assert.match(err, message)
    assert.match(err, /Usage: fastify-bff sessions/)
  }
  const wrong = await run(['--sub', 'alice', '--end'], { ...env, ADMIN_TOKEN: `${token}x` })
  assert.deepEqual(
    [wrong.code, wrong.err],
    [
      1,
      "The administrator's API answered 401: BFF_ADMIN_TOKEN_REQUIRED, The administrator's API needs Authorization: Bearer with ADMIN_TOKEN\n",
    ],
  )
  const gone = await run(['--sub', 'alice', '--url', `http://127.0.0.1:${await freePort()}`])
  assert.equal(gone.code, 1)
  assert.match(gone.err, /can't be reached at http:.* \(ECONNREFUSED\)/)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('the command of the package calls the gateway, with the token from a file too', async (t) => {
  const { newBrowser, env } = await start(t)
  await newBrowser().signIn()
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-cli-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'token')
  writeFileSync(file, `${token}\n`)

  const environment = { ADMIN_PORT: env.ADMIN_PORT, ADMIN_TOKEN_FILE: file }
  const { code, stdout, stderr } = await runServer(
    ['sessions', '--sub', 'alice', '--json'],
    environment,
    folder,
  )
  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(JSON.parse(stdout).length, 1)
  const help = await runServer(['sessions', '--help'], {}, folder)
  assert.equal(help.code, 0)
  assert.match(help.stdout, /^Usage: fastify-bff sessions/)
})
