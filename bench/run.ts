import { parseArgs } from 'node:util'
import { files } from './files.ts'
import { logoutsElsewhere as logouts } from './logouts.ts'
import { memory } from './memory.ts'
import { processes } from './processes.ts'
import { proxy } from './proxy.ts'
import { scale } from './scale.ts'
import { stalls } from './stalls.ts'
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
const benchmarks = {
  files,
  logouts,
  memory,
  processes,
  proxy,
  scale,
  stalls,
  storm,
  stream,
  streams,
}

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
const seconds = Number(values.seconds)
if (!(seconds > 0)) {
  console.error(`--seconds is ${values.seconds}, but must be a number above 0.`)
  process.exit(2)
}
/** For starting, warming up and ending, beyond the time of the measurement, in milliseconds. */
const marginMs = 8 * 60_000

for (const name of wanted as (keyof typeof benchmarks)[]) {
  if (!values.json) console.log(`\n${name}\n`)
  // What it has started ends with this process.
  const tooLong = setTimeout(fail, marginMs + seconds * 1000, name, new Error('It took too long'))
  await benchmarks[name]({ ...values, seconds }).catch((error: unknown) => fail(name, error))
  clearTimeout(tooLong)
}

function fail(name: string, error: unknown): never {
  const lines: string[] = []
  for (let cause = error; cause !== undefined; cause = cause instanceof Error ? cause.cause : undefined)
    lines.push(cause instanceof Error ? cause.message : String(cause))
  console.error(`The benchmark ${name} failed: ${lines.join(': ')}`)
  process.exit(1)
}
