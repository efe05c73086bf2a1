import { parseArgs } from 'node:util'
import { search } from './search.ts'
import { addRun, noTotals } from './totals.ts'

/**
 * `npm run simulate -- --runs 100000`: more runs of the simulation.
 *
 *   --seed N             the same runs again
 *   --seed N --path P    a counterexample again, from the report
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string' },
    path: { type: 'string' },
  },
})

const totals = noTotals()
const startedAt = performance.now()
const { runs, seed, failure } = await search({
  runs: Number(values.runs),
  seed: values.seed === undefined ? undefined : Number(values.seed),
  path: values.path,
  onRun: (run) => addRun(totals, run),
})
const seconds = (performance.now() - startedAt) / 1000

if (failure) console.log(`${failure.report}\n`)
console.log(`${runs} runs in ${seconds.toFixed(1)} s (${Math.round(runs / seconds)} a second), seed ${seed}`)
for (const [what, count] of Object.entries(totals)) console.log(`${String(count).padStart(9)} ${what}`)
process.exitCode = failure ? 1 : 0
