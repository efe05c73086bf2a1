import { files } from './files.ts'
import { proxy } from './proxy.ts'
import { storm } from './storm.ts'
import { stream } from './stream.ts'

/**
 * `npm run bench`: all benchmarks, or the named ones.
 *
 *   npm run bench -- storm
 *
 * Only the ratios between variants measured side by side are meaningful, not absolute figures.
 */
const benchmarks = { files, proxy, storm, stream }

const known = Object.keys(benchmarks)
const wanted = process.argv.length > 2 ? process.argv.slice(2) : known
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}. Known are ${known.join(', ')}.`)
  process.exit(2)
}
for (const name of wanted as (keyof typeof benchmarks)[]) {
  console.log(`\n${name}\n`)
  await benchmarks[name]()
}
