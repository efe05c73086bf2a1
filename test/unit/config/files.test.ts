import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readingFault, systemFiles } from '../../../config/files.ts'
import { loadConfig } from '../../../config/index.ts'
import { faultsOf, minimal } from './support.ts'

test('real files and folders are read', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'gateway.json')
  await writeFile(file, JSON.stringify({ port: 1234, staticDir: '.' }))
  await writeFile(join(folder, 'index.html'), '<!doctype html>')

  const { options, warnings } = loadConfig({ ...minimal, CONFIG_FILE: file })
  assert.equal(options.port, 1234)
  assert.equal(options.staticDir, folder)
  assert.deepEqual(warnings, [])
})

test('an unreadable file is reported with a readable reason', async (t) => {
  const folder = await temporaryFolder(t)
  const faults = faultsOf(() =>
    loadConfig({
      ...minimal,
      CONFIG_FILE: folder,
      OIDC_CLIENT_PRIVATE_KEY_FILE: join(folder, 'missing.pem'),
      STATIC_DIR: join(folder, 'missing'),
    }),
  )
  assert.deepEqual(
    faults.map((fault) => fault.replaceAll(folder, 'F')),
    [
      'CONFIG_FILE names a folder, not a file: F',
      'OIDC_CLIENT_PRIVATE_KEY_FILE names a file that does not exist (it is F/missing.pem)',
      'STATIC_DIR must be a folder that exists (it is F/missing)',
    ],
  )
})

test('a file without read permission is distinguished from one that fails to be read', () => {
  assert.match(readingFault(Object.assign(new Error(), { code: 'EACCES' })), /this process may not read/)
  assert.match(readingFault(Object.assign(new Error(), { code: 'EIO' })), /can not be read/)
})

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'config-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

test('a path that the system can not examine is no folder', () => {
  assert.equal(systemFiles.isDirectory('x'.repeat(5000)), false)
  assert.equal(systemFiles.isDirectory('\0'), false)
})
