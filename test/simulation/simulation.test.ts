import assert from 'node:assert/strict'
import { test } from 'node:test'
import { search } from './search.ts'
import { addRun, noTotals } from './totals.ts'
import { weaknesses } from './weaknesses.ts'

/** `SIMULATION_RUNS=100000 npm test -- test/simulation/simulation.test.ts`, or `npm run simulate -- --runs 100000`. */
const runs = Number(process.env['SIMULATION_RUNS'] ?? 2_000)

test('no plan of crashes, freezes, losses, delays and logouts breaks what renewal promises', async (t) => {
  const totals = noTotals()
  const { seed, failure } = await search({ runs, onRun: (run) => addRun(totals, run) })
  t.diagnostic(`${runs} runs, seed ${seed}: ${JSON.stringify(totals)}`)
  if (failure) assert.fail(failure.report)

  for (const [what, count] of Object.entries(totals)) assert.ok(count > 0, `the simulation saw no ${what}`)
})

// The same runs each time: that something is found must not be a matter of luck.
const seed = 175
const mostRuns = 20_000

for (const [what, weakness] of Object.entries(weaknesses)) {
  test(`without ${what}, a renewer is found out`, async (t) => {
    const { runs, failure } = await search({ runs: mostRuns, seed, weakness })
    assert.ok(failure, `${runs} runs found nothing wrong`)

    t.diagnostic(`without ${what}, run ${runs}:`)
    for (const line of failure.summary.split('\n')) t.diagnostic(`  ${line}`)
    const { happenings, faults } = failure.plan
    assert.ok(happenings.length + faults.length <= 8, 'the counterexample is not short')
  })
}
