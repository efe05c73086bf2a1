import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { configurationTable } from '../../../plugins/config/configuration-table.ts'
import { loadConfig } from '../../../plugins/config/load-config.ts'
import { settingNames, settingOf } from '../../../plugins/config/settings.ts'
import { fakeFiles, minimal } from './support.ts'

test("the README's configuration table is the one that the settings give", async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8')
  const [, table] =
    /<!-- configuration table -->\n([\s\S]*?)\n<!-- \/configuration table -->/.exec(readme) ?? []
  assert.equal(table?.trim(), configurationTable())
})

test('every variable has a row of three columns', () => {
  const rows = configurationTable().split('\n').slice(2, -1)
  assert.equal(rows.length, settingNames.length)
  for (const [index, row] of rows.entries()) {
    assert.match(row, new RegExp(`^\\| \`${settingNames[index]}\` \\| [^|]+ \\| [^|]+ \\|$`))
  }
})

test('the last row of the table names the files of all secrets', () => {
  const row = configurationTable().split('\n').at(-1)
  assert.match(row ?? '', /^\| `OIDC_CLIENT_SECRET_FILE`, `SESSION_KEYS_FILE`, `REDIS_URL_FILE`/)
})

test('every default in the table can be given as a value and changes nothing', () => {
  const defaults = settingNames.flatMap((name) => {
    const text = settingOf(name).default
    return text === undefined ? [] : [[name, text]]
  })
  const explicit = loadConfig({ ...minimal, ...Object.fromEntries(defaults) }, fakeFiles({}))
  assert.deepEqual(explicit, loadConfig(minimal, fakeFiles({})))
})
