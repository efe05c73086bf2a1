import assert from 'node:assert/strict'
import { test } from 'node:test'
import { violations } from './invariants.ts'
import { search } from './search.ts'
import { addRun, noTotals } from './totals.ts'
import { weaknesses } from './weaknesses.ts'
import { runPlan } from './world.ts'

const runs = 2_000
/** The same runs each time, so that no build depends on luck. `npm run simulate -- --runs 100000` looks for new ones. */
const seed = 2

test('no plan of crashes, freezes, losses, delays and logouts breaks an invariant of renewal', async (t) => {
  const totals = noTotals()
  const { failure } = await search({ runs, seed, onRun: (run) => addRun(totals, run) })
  t.diagnostic(`${runs} runs, seed ${seed}: ${JSON.stringify(totals)}`)
  if (failure) assert.fail(failure.report)

  for (const [what, count] of Object.entries(totals)) assert.ok(count > 0, `the simulation saw no ${what}`)
})

test('tokens that derive from tokens lost in a failover are kept', async () => {
  const request = { happens: 'request', session: 0, refusedAfterMs: undefined } as const
  const run = await runPlan({
    gateways: 2,
    tokenLeftMs: 0,
    jitter: 0,
    incidents: [
      { atMs: 1_000, ...request, gateway: 1, resource: undefined },
      { atMs: 1_500, ...request, gateway: 0, resource: 'orders' },
      { atMs: 1_520, happens: 'failover', lostMs: 1_000, noticedAfterMs: [0, 2_000] },
    ],
    faults: [{ gateway: 0, operation: 'replace', which: 0, kind: 'slow request', ms: 100 }],
  })

  assert.deepEqual(violations(run), [])
  assert.equal(run.atEnd[0]?.stored, run.atEnd[0]?.current)
})

const mostRuns = 20_000

for (const [what, weakness] of Object.entries(weaknesses)) {
  test(`the simulation detects a renewer without ${what}`, async (t) => {
    const { runs, failure } = await search({ runs: mostRuns, seed, weakness })
    assert.ok(failure, `${runs} runs found nothing wrong`)

    t.diagnostic(`without ${what}, run ${runs}:`)
    for (const line of failure.summary.split('\n')) t.diagnostic(`  ${line}`)
    const { incidents, faults } = failure.plan
    assert.ok(incidents.length + faults.length <= 8, 'the counterexample is not short')
  })
}
