import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Machine, provision } from './provision.ts'

test('tools on the PATH are used, and nothing is installed', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'valkey-server', 'nginx', 'haproxy', 'google-chrome'] })

  assert.deepEqual(provision(machine), {
    chromium: machine.fileAt('google-chrome'),
    firefox: machine.fileAt('firefox'),
  })
  assert.deepEqual(machine.commands, [])
})

test('CHROMIUM_PATH takes precedence', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'nginx', 'haproxy', 'chromium', 'mine'] })
  machine.chromiumPath = machine.fileAt('mine')

  assert.equal(provision(machine).chromium, machine.fileAt('mine'))
})

test('a missing file in CHROMIUM_PATH is an error, and no other Chromium is used', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'nginx', 'haproxy', 'chromium'] })
  machine.chromiumPath = machine.fileAt('mine')

  assert.throws(() => provision(machine), /CHROMIUM_PATH/)
})

test('FIREFOX_PATH takes precedence, and a missing file there is an error', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'nginx', 'haproxy', 'chromium', 'mine'] })
  machine.firefoxPath = machine.fileAt('mine')
  assert.equal(provision(machine).firefox, machine.fileAt('mine'))

  machine.firefoxPath = machine.fileAt('missing')
  assert.throws(() => provision(machine), /FIREFOX_PATH/)
})

test('on Debian missing tools are installed, and this is printed', (t) => {
  const machine = pretend(t, { has: ['apt-get'], packages: ['redis-server', 'nginx', 'haproxy', 'chromium'] })

  assert.equal(provision(machine).chromium, machine.fileAt('chromium'))
  assert.match(machine.said.join('\n'), /redis-server[\s\S]+nginx[\s\S]+chromium/)
  assert.match(machine.commands.join('\n'), /^env DEBIAN_FRONTEND=noninteractive apt-get -q update$/m)
})

test('a package list that can not be updated does not stop the installation', (t) => {
  const machine = pretend(t, {
    has: ['apt-get', 'nginx', 'haproxy', 'chromium'],
    packages: ['redis-server'],
    staleLists: true,
  })

  assert.equal(provision(machine).chromium, machine.fileAt('chromium'))
})

test('an nginx in /usr/sbin is found, even if that is not on the PATH', (t) => {
  const machine = pretend(t, { has: ['redis-server', 'chromium'] })
  const system = pretend(t, { has: ['nginx', 'haproxy'] })
  machine.systemPath = dirname(system.fileAt('nginx'))

  provision(machine)
  assert.deepEqual(machine.commands, [])
})

test('where nginx can not be installed the command to run is printed', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'redis-server', 'chromium'] })
  assert.throws(() => provision(machine), /need nginx and HAProxy, .*\n.*apt-get install redis-server nginx/)
})

for (const [command, packageName] of [
  ['openssl', 'openssl'],
  ['promtool', 'prometheus'],
  ['certutil', 'libnss3-tools'],
  ['firefox', 'firefox-esr'],
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

test('users other than root install with sudo, which may not ask for a password', (t) => {
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

test('without a Chromium package Playwright downloads one', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'nginx', 'haproxy', 'redis-server'], downloads: true })

  assert.equal(provision(machine).chromium, machine.downloadedChromium)
})

test('without a Firefox package it is downloaded, and found again', (t) => {
  const has = ['apt-get', 'nginx', 'haproxy', 'redis-server', 'chromium']
  const machine = pretend(t, { has, downloads: true, lacks: 'firefox' })
  const expected = machine.fileAt('downloads/firefox/linux-1.0/firefox/firefox')

  assert.equal(provision(machine).firefox, expected)
  const count = machine.commands.length
  assert.equal(provision(machine).firefox, expected)
  assert.equal(machine.commands.length, count)
})

test('a Chromium downloaded by Playwright is found again', (t) => {
  const machine = pretend(t, { has: ['apt-get', 'nginx', 'haproxy', 'redis-server', 'downloaded'] })

  assert.equal(provision(machine).chromium, machine.downloadedChromium)
  assert.deepEqual(machine.commands, [])
})

const notPossible: [string, Picture][] = [
  ['without apt-get', { has: [] }],
  ['without root or sudo', { has: ['apt-get'], isRoot: false }],
  ['when the installation fails', { has: ['apt-get'] }],
]
for (const [when, picture] of notPossible)
  test(`${when} it prints what is missing and the command to run`, (t) => {
    assert.throws(
      () => provision(pretend(t, picture)),
      /Redis and nginx and HAProxy and Chromium.*\n.*apt-get install redis-server/,
    )
  })

const commandOf: Record<string, string> = { prometheus: 'promtool', 'libnss3-tools': 'certutil' }

interface Picture {
  /** Commands on the PATH. */
  has: string[]
  /** Packages that apt-get can install. */
  packages?: string[]
  staleLists?: boolean
  isRoot?: boolean
  /** Whether Playwright can reach its downloads. */
  downloads?: boolean
  /** A common command that this machine lacks. */
  lacks?: 'openssl' | 'promtool' | 'certutil' | 'firefox'
}

/** A machine that consists of a folder with empty executables. */
function pretend(
  t: TestContext,
  { has, packages = [], staleLists = false, isRoot = true, downloads, lacks }: Picture,
) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-provision-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const fileAt = (name: string) => join(folder, name)
  const add = (name: string) => writeFileSync(fileAt(name), '', { mode: 0o755 })
  has.forEach(add)
  for (const command of ['openssl', 'promtool', 'certutil', 'firefox']) if (command !== lacks) add(command)

  const commands: string[] = []
  const said: string[] = []
  const machine: Machine = {
    searchPath: `/does/not/exist:${folder}`,
    chromiumPath: undefined,
    firefoxPath: undefined,
    downloadedChromium: fileAt('downloaded'),
    downloads: fileAt('downloads'),
    systemPath: '/does/not/exist/either',
    isRoot,
    say: (line) => said.push(line),
    run(command) {
      commands.push(command.join(' '))
      if (command.includes('update')) return !staleLists
      if (command.includes('apt-get')) return install(command.at(-1) ?? '')
      if (command.includes('--with-deps') && downloads) add('downloaded')
      if (command.includes('firefox@stable') && downloads) {
        mkdirSync(fileAt('downloads/firefox/linux-1.0/firefox'), { recursive: true })
        add('downloads/firefox/linux-1.0/firefox/firefox')
      }
      return true
    },
  }
  const install = (name: string) => {
    const known = packages.includes(name)
    if (known) add(commandOf[name] ?? name)
    return known
  }
  return Object.assign(machine, { commands, said, fileAt })
}
