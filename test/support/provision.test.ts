import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Machine, provision } from './provision.ts'

test('what is there is used, and nothing is installed', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'valkey-server', 'nginx', 'haproxy', 'google-chrome'] })

  assert.equal(provision(machine), machine.fileAt('google-chrome'))
  assert.deepEqual(machine.commands, [])
})

test('the Chromium that the user names comes first', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'nginx', 'haproxy', 'chromium', 'mine'] })
  machine.chromiumPath = machine.fileAt('mine')

  assert.equal(provision(machine), machine.fileAt('mine'))
})

test('a Chromium named but not there is an error, not a reason to take another', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'nginx', 'haproxy', 'chromium'] })
  machine.chromiumPath = machine.fileAt('mine')

  assert.throws(() => provision(machine), /CHROMIUM_PATH/)
})

test('on Debian all are installed where they are missing, and it is said', (t) => {
  const machine = pretend(t, { has: ['apt-get'], packages: ['redis-server', 'nginx', 'haproxy', 'chromium'] })

  assert.equal(provision(machine), machine.fileAt('chromium'))
  assert.match(machine.said.join('\n'), /redis-server[\s\S]+nginx[\s\S]+chromium/)
  assert.match(machine.commands.join('\n'), /^env DEBIAN_FRONTEND=noninteractive apt-get -q update$/m)
})

test('a package list that cannot be brought up to date does not stop the installation', (t) => {
  const machine = pretend(t, {
    has: ['apt-get', 'nginx', 'haproxy', 'chromium'],
    packages: ['redis-server'],
    staleLists: true,
  })

  assert.equal(provision(machine), machine.fileAt('chromium'))
})

test('an nginx where Debian keeps servers is found by users too, on whose PATH it is not', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'chromium'] })
  const system = pretend(t, { has: ['nginx', 'haproxy'] })
  machine.systemPath = dirname(system.fileAt('nginx'))

  provision(machine)
  assert.deepEqual(machine.commands, [])
})

test('where nginx cannot be installed the line to run is said', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'redis-server', 'chromium'] })
  assert.throws(() => provision(machine), /need nginx and HAProxy, .*\n.*apt-get install redis-server nginx/)
})

for (const [command, packageName] of [
  ['openssl', 'openssl'],
  ['promtool', 'prometheus'],
] as const) {
  test(`${command} is installed where it is missing, or the command to install it is printed`, (t) => {
    const bare = { has: ['apt-get', 'redis-server', 'nginx', 'haproxy', 'chromium'], lacks: command }
    const machine = pretend(t, { ...bare, packages: [packageName] })

    provision(machine)
    assert.match(
      machine.commands.at(-1) ?? '',
      new RegExp(` install -y --no-install-recommends ${packageName}$`),
    )
    const error = new RegExp(`need ${command}, .*\n.*apt-get install .*${packageName}`, 'i')
    assert.throws(() => provision(pretend(t, bare)), error)
  })
}

test('who is not root installs with sudo, which may not ask for a password', (t) => {
  const machine = pretend(t, {
    has: ['apt-get', 'nginx', 'haproxy', 'sudo', 'chromium'],
    packages: ['redis-server'],
    isRoot: false,
  })

  provision(machine)
  assert.match(
    machine.commands.join('\n'),
    /^sudo -n env .* install -y --no-install-recommends redis-server$/m,
  )
})

test('where there is no package of Chromium, Playwright downloads one', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'nginx', 'haproxy', 'redis-server'], downloads: true })

  assert.equal(provision(machine), machine.downloadedChromium)
})

test('a Chromium that Playwright downloaded before is found again', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'nginx', 'haproxy', 'redis-server', 'downloaded'] })

  assert.equal(provision(machine), machine.downloadedChromium)
  assert.deepEqual(machine.commands, [])
})

const notPossible: [string, Picture][] = [
  ['without apt-get', { has: [] }],
  ['without root or sudo', { has: ['apt-get'], isRoot: false }],
  ['when the installation fails', { has: ['apt-get'] }],
]
for (const [when, picture] of notPossible)
  test(`${when} it says what is missing and the line to run`, (t) => {
    assert.throws(
      () => provision(pretend(t, picture)),
      /Redis and nginx and HAProxy and Chromium.*\n.*apt-get install redis-server/,
    )
  })

interface Picture {
  /** What is on the PATH. */
  has: string[]
  /** What apt-get can install. */
  packages?: string[]
  staleLists?: boolean
  isRoot?: boolean
  /** Whether Playwright can reach its downloads. */
  downloads?: boolean
  /** One of the commands that most machines have. */
  lacks?: 'openssl' | 'promtool'
}

/** A machine that has only a folder with empty executables, and does as it is told with them. */
function pretend(
  t: TestContext,
  { has, packages = [], staleLists = false, isRoot = true, downloads, lacks }: Picture,
) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-provision-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const fileAt = (name: string) => join(folder, name)
  const add = (name: string) => writeFileSync(fileAt(name), '', { mode: 0o755 })
  has.forEach(add)
  for (const command of ['openssl', 'promtool']) if (command !== lacks) add(command)

  const commands: string[] = []
  const said: string[] = []
  const machine: Machine = {
    searchPath: `/does/not/exist:${folder}`,
    chromiumPath: undefined,
    downloadedChromium: fileAt('downloaded'),
    systemPath: '/does/not/exist/either',
    isRoot,
    say: (line) => said.push(line),
    run(command) {
      commands.push(command.join(' '))
      if (command.includes('update')) return !staleLists
      if (command.includes('apt-get')) return install(command.at(-1) ?? '')
      if (command.includes('--with-deps') && downloads) add('downloaded')
      return true
    },
  }
  const install = (name: string) => {
    const known = packages.includes(name)
    if (known) add(name === 'prometheus' ? 'promtool' : name)
    return known
  }
  return Object.assign(machine, { commands, said, fileAt })
}
