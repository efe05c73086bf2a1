import fc from 'fast-check'
import { violations } from './invariants.ts'
import { describePlan, type Plan, plans } from './plan.ts'
import { type Run, runPlan, type Weakness } from './world.ts'

export interface SearchOptions {
  runs: number
  seed?: number | undefined
  /** Path of the counterexample to replay, from an earlier report. */
  path?: string | undefined
  weakness?: Weakness
  onRun?(run: Run): void
}

export interface SearchResult {
  seed: number
  /** Number of runs until the first failure, or all. */
  runs: number
  failure?: Failure
}

export interface Failure {
  path: string
  plan: Plan
  violations: string[]
  /** The plan, and the invariants that it breaks. */
  summary: string
  /** The same with the whole timeline. */
  report: string
}

class BrokenInvariant extends Error {
  constructor(broken: string[]) {
    super(broken.join('\n'))
  }
}

/** Searches for a plan that breaks an invariant, and shrinks it. */
export async function search({ runs, seed, path, weakness, onRun }: SearchOptions): Promise<SearchResult> {
  const property = fc.asyncProperty(plans(), async (plan) => {
    const run = await runPlan(plan, weakness)
    onRun?.(run)
    const broken = violations(run)
    if (broken.length > 0) throw new BrokenInvariant(broken)
  })
  const details = await fc.check(property, {
    numRuns: runs,
    ...(seed !== undefined && { seed }),
    ...(path !== undefined && { path }),
  })
  if (!details.failed) return { seed: details.seed, runs: details.numRuns }
  if (details.counterexample === null) throw new Error('The search was interrupted')

  const [plan] = details.counterexample
  const counterexamplePath = details.counterexamplePath ?? ''
  // A run that throws has no history.
  if (!(details.errorInstance instanceof BrokenInvariant))
    throw new Error(describePlan(plan), { cause: details.errorInstance })
  const run = await runPlan(plan, weakness)
  const broken = violations(run)
  return {
    seed: details.seed,
    runs: details.numRuns,
    failure: {
      path: counterexamplePath,
      plan,
      violations: broken,
      summary: [describePlan(plan), ...broken].join('\n'),
      report: [
        `seed ${details.seed}, path ${counterexamplePath}, run ${details.numRuns}, shrunk ${details.numShrinks} times`,
        describePlan(plan),
        '',
        ...shortened(run.history.timeline),
        '',
        ...broken,
      ].join('\n'),
    },
  }
}

const mostLines = 40

function shortened(timeline: string[]): string[] {
  const left = timeline.length - mostLines
  return left > 0 ? [...timeline.slice(0, mostLines), `… and ${left} lines more`] : timeline
}
