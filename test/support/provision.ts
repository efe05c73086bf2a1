import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { chromium } from 'playwright-core'
import { findExecutable, isExecutable } from './executables.ts'

/** What provisioning reads and changes: this machine, or a test's model of one. */
export interface Machine {
  /** Value of the environment variable PATH. */
  searchPath: string
  /** Value of CHROMIUM_PATH. */
  chromiumPath: string | undefined
  /** Value of FIREFOX_PATH. */
  firefoxPath: string | undefined
  /** Where Playwright stores a downloaded Chromium. */
  downloadedChromium: string
  /** Folder of browsers that Puppeteer's installer downloads. */
  downloads: string
  /** Folder where Debian installs servers, which is on the PATH of root only. */
  systemPath: string
  isRoot: boolean
  /** Runs a command with its output shown. @returns whether it succeeded */
  run(command: string[]): boolean
  say(line: string): void
}

/** The executables of the browsers. */
export interface Browsers {
  chromium: string
  firefox: string
}

/** Tools that the tests need besides the browsers and that npm can't install. Any one of the commands is enough. */
const tools = [
  { name: 'Redis', commands: ['redis-server', 'valkey-server'], package: 'redis-server' },
  { name: 'nginx', commands: ['nginx'], package: 'nginx' },
  { name: 'HAProxy', commands: ['haproxy'], package: 'haproxy' },
  { name: 'OpenSSL', commands: ['openssl'], package: 'openssl' },
  { name: 'promtool', commands: ['promtool'], package: 'prometheus' },
  // To make Chromium trust a test's authority.
  { name: 'certutil', commands: ['certutil'], package: 'libnss3-tools' },
]

/**
 * Makes sure that the tests find the tools above, a Chromium and a Firefox. Missing ones are installed on Debian and similar
 * systems.
 *
 * A Redis server is needed even when `REDIS_URL` names a running one, because the tests that stop, freeze or
 * cluster it start their own. Debian starts services on ports 6379, 80 and 9090 along with the packages, or fails to;
 * the tests never use them.
 *
 * @returns the browsers' executables
 * @throws when something is missing that can't be installed here, with the commands to install it by hand
 */
export function provision(machine: Machine = thisMachine()): Browsers {
  if (machine.chromiumPath && !isExecutable(machine.chromiumPath))
    throw new Error(`CHROMIUM_PATH is no executable file: ${machine.chromiumPath}`)
  if (machine.firefoxPath && !isExecutable(machine.firefoxPath))
    throw new Error(`FIREFOX_PATH is no executable file: ${machine.firefoxPath}`)

  for (const tool of tools) {
    if (isInstalled(machine, tool)) continue
    machine.say(`No ${tool.commands.join(' or ')} on the PATH: installing the package ${tool.package}`)
    aptInstall(machine, tool.package)
    if (!isInstalled(machine, tool)) throw new Error(byHand(machine))
  }

  if (!findFirefox(machine)) installFirefox(machine)
  if (!findChromium(machine)) installChromium(machine)
  const chromium = findChromium(machine)
  const firefox = findFirefox(machine)
  if (!chromium || !firefox) throw new Error(byHand(machine))
  return { chromium, firefox }
}

function thisMachine(): Machine {
  return {
    searchPath: process.env['PATH'] ?? '',
    chromiumPath: process.env['CHROMIUM_PATH'] || undefined,
    firefoxPath: process.env['FIREFOX_PATH'] || undefined,
    downloadedChromium: chromium.executablePath(),
    downloads: join(homedir(), '.cache/puppeteer'),
    systemPath: '/usr/sbin:/usr/local/sbin',
    isRoot: process.getuid?.() === 0,
    run: ([command = '', ...args]) =>
      spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0,
    say: (line) => console.log(line),
  }
}

function isInstalled({ searchPath, systemPath }: Machine, { commands }: { commands: string[] }): boolean {
  return findExecutable(commands, searchPath + delimiter + systemPath) !== undefined
}

function findChromium(machine: Machine): string | undefined {
  if (machine.chromiumPath) return machine.chromiumPath
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
  const found = names.map((name) => onPath(machine, name)).find((path) => path !== undefined)
  return found ?? (isExecutable(machine.downloadedChromium) ? machine.downloadedChromium : undefined)
}

function findFirefox(machine: Machine): string | undefined {
  const found = machine.firefoxPath ?? onPath(machine, 'firefox') ?? onPath(machine, 'firefox-esr')
  return found ?? downloadedFirefox(machine)
}

/** Puppeteer's installer makes a folder for each version. */
function downloadedFirefox({ downloads }: Machine): string | undefined {
  const folder = join(downloads, 'firefox')
  const versions = existsSync(folder) ? readdirSync(folder) : []
  return versions.map((version) => join(folder, version, 'firefox/firefox')).find(isExecutable)
}

/** Ubuntu has Firefox as a snap only, too: there Mozilla's own build is downloaded. */
function installFirefox(machine: Machine): void {
  machine.say('No Firefox on the PATH or in FIREFOX_PATH: installing the package firefox-esr')
  if (aptInstall(machine, 'firefox-esr')) return
  machine.say("There is no such package: downloading Mozilla's")
  machine.run([process.execPath, playwright, 'install-deps', 'firefox'])
  machine.run([process.execPath, installer, 'install', 'firefox@stable', '--path', machine.downloads])
}

/** Ubuntu has Chromium as a snap only, which containers and CI runners can't install: they use Playwright's. */
function installChromium(machine: Machine): void {
  machine.say('No Chromium on the PATH or in CHROMIUM_PATH: installing the package chromium')
  if (aptInstall(machine, 'chromium')) return
  machine.say('There is no such package: downloading the Chromium of Playwright')
  machine.run([process.execPath, playwright, 'install', '--with-deps', '--no-shell', 'chromium'])
}

function aptInstall(machine: Machine, ...packages: string[]): boolean {
  const asRoot = becomeRoot(machine)
  if (!asRoot || !onPath(machine, 'apt-get')) throw new Error(byHand(machine))
  const apt = (...args: string[]) =>
    machine.run([...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', ...args])

  // A broken third-party repository fails the update, but the package may still be available.
  apt('update')
  return apt('install', '-y', '--no-install-recommends', ...packages)
}

/** @returns the prefix of a command that runs as root, or undefined if that would need a password */
function becomeRoot(machine: Machine): [] | ['sudo', '-n'] | undefined {
  if (machine.isRoot) return []
  return onPath(machine, 'sudo') && machine.run(['sudo', '-n', 'true']) ? ['sudo', '-n'] : undefined
}

function byHand(machine: Machine): string {
  const missing = tools.filter((tool) => !isInstalled(machine, tool)).map(({ name }) => name)
  if (!findChromium(machine)) missing.push('Chromium')
  if (!findFirefox(machine)) missing.push('Firefox')
  const packages = tools.map((tool) => tool.package).join(' ')
  return `The tests need ${missing.join(' and ')}, which can't be installed from here. Please run:
  Debian        sudo apt-get install ${packages} chromium firefox-esr
  Ubuntu        sudo apt-get install ${packages} && npx playwright-core install --with-deps chromium
                npx --yes @puppeteer/browsers install firefox@stable
  macOS         brew install redis nginx haproxy openssl prometheus nss && npx playwright-core install chromium
                npx --yes @puppeteer/browsers install firefox@stable
The install command of Firefox prints the path for FIREFOX_PATH. Any redis-server or valkey-server on the PATH does,
any Chromium or Chrome there or in CHROMIUM_PATH, and any Firefox there or in FIREFOX_PATH.`
}

function onPath({ searchPath }: Machine, name: string): string | undefined {
  return findExecutable([name], searchPath)
}

const playwright = resolve(import.meta.dirname, '../../node_modules/playwright-core/cli.js')
const installer = resolve(import.meta.dirname, '../../node_modules/@puppeteer/browsers/lib/main-cli.js')
