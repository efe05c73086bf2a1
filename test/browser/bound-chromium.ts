import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type BrowserContext, chromium } from 'playwright-core'
import { provision } from '../support/provision.ts'
import { giveUpMs } from '../support/until.ts'

/**
 * Device-bound sessions with keys in software, as tests have no TPM. The quota allows six proofs in nine minutes, and
 * tests need one each few seconds.
 */
const features = [
  'DeviceBoundSessions:RefreshQuota/false',
  'EnableBoundSessionCredentialsSoftwareKeysForManualTesting',
]

export interface BoundChromiumOptions {
  /** PEM of the authority to trust: browsers bind sessions only where the certificate is good. */
  authority: string
  args?: string[]
}

/** A Chromium of its own, with an ordinary profile: in the contexts of a shared one it binds no sessions. */
export async function openBoundChromium(
  t: TestContext,
  { authority, args = [] }: BoundChromiumOptions,
): Promise<BrowserContext> {
  const home = mkdtempSync(join(tmpdir(), 'fastify-bff-chromium-'))
  trust(authority, home)
  const context = await chromium.launchPersistentContext(join(home, 'profile'), {
    executablePath: process.env['CHROMIUM_PATH'] || provision(),
    env: { ...process.env, HOME: home },
    args: [
      `--enable-features=${features.join()}`,
      // As root, in containers and CI runners, its sandbox does not work.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      ...args,
    ],
  })
  context.setDefaultTimeout(giveUpMs)
  t.after(async () => {
    await context.close()
    rmSync(home, { recursive: true, force: true })
  })
  return context
}

/** Chromium on Linux trusts the authorities in the NSS database of its user. */
function trust(authority: string, home: string): void {
  const database = join(home, '.pki/nssdb')
  const file = join(home, 'authority.pem')
  writeFileSync(file, authority)
  for (const args of [
    ['-N', '--empty-password'],
    ['-A', '-t', 'C,,', '-n', 'test', '-i', file],
  ]) {
    spawnSync('mkdir', ['-p', database])
    const { status, stderr } = spawnSync('certutil', ['-d', `sql:${database}`, ...args], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`certutil failed: ${stderr}`)
  }
}
