import { parseArgs } from 'node:util'
import { files } from './files.ts'
import { proxy } from './proxy.ts'
import { scale } from './scale.ts'
import { storm } from './storm.ts'
import { stream } from './stream.ts'
import { streams } from './streams.ts'

/**
 * `npm run bench`: all benchmarks, or the named ones.
 *
 *   npm run bench -- storm
 *   npm run bench -- scale --sessions 200000 --users 10000
 *   npm run bench -- proxy --only Redis --seconds 20 --json --profile /tmp/profiles
 *
 * `--only` takes the variants of `proxy` whose name contains it, `--profile` a folder for CPU profiles of its servers.
 *
 * Only the ratios between variants measured side by side are meaningful, not absolute figures.
 */
const benchmarks = { files, proxy, scale, storm, stream, streams }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    profile: { type: 'string' },
    sessions: { type: 'string' },
    users: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const known = Object.keys(benchmarks)
const wanted = positionals.length > 0 ? positionals : known
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}. Known are ${known.join(', ')}.`)
  process.exit(2)
}
for (const name of wanted as (keyof typeof benchmarks)[]) {
  if (!values.json) console.log(`\n${name}\n`)
  await benchmarks[name]({ ...values, seconds: Number(values.seconds) })
}
