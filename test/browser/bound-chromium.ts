import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type BrowserContext, chromium } from 'playwright-core'
import { provision } from '../support/provision.ts'
import { giveUpMs } from '../support/until.ts'

/**
 * Keys in software, as the machine of a test has no TPM. Without the quota: Chromium allows six signatures in nine
 * minutes, and a test needs one each few seconds.
 */
const bindsSessions =
  '--enable-features=DeviceBoundSessions:RefreshQuota/false,EnableBoundSessionCredentialsSoftwareKeysForManualTesting'
const bindsNoSessions = '--disable-features=DeviceBoundSessions'

export interface ProfileOptions {
  /** PEM of the authority to trust: Chromium binds sessions only where the certificate is valid. */
  authority: string
  /** Host that leads to 127.0.0.1. */
  host: string
  /** Default true. */
  bindsSessions?: boolean
}

/** A Chromium with a profile of its own: in contexts of a shared one it binds no sessions. */
export async function openProfile(
  t: TestContext,
  { authority, host, bindsSessions: binds = true }: ProfileOptions,
): Promise<BrowserContext> {
  const home = mkdtempSync(join(tmpdir(), 'fastify-bff-chromium-'))
  let context: BrowserContext | undefined
  t.after(async () => {
    await context?.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  trust(authority, home)
  context = await chromium.launchPersistentContext(join(home, 'profile'), {
    executablePath: process.env['CHROMIUM_PATH'] || provision().chromium,
    env: { ...process.env, HOME: home },
    args: [
      binds ? bindsSessions : bindsNoSessions,
      `--host-resolver-rules=MAP ${host} 127.0.0.1`,
      // As root, in containers and CI runners, its sandbox does not work.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  })
  context.setDefaultTimeout(giveUpMs)
  return context
}

/** On Linux Chromium trusts the authorities in the NSS database of its user. */
function trust(authority: string, home: string): void {
  const database = join(home, '.pki/nssdb')
  const file = join(home, 'authority.pem')
  mkdirSync(database, { recursive: true })
  writeFileSync(file, authority)
  certutil(database, '-N', '--empty-password')
  certutil(database, '-A', '-t', 'C,,', '-n', 'test', '-i', file)
}

function certutil(database: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync('certutil', ['-d', `sql:${database}`, ...args], {
    encoding: 'utf8',
  })
  if (status !== 0) throw error ?? new Error(`certutil failed: ${stderr}`)
}
