import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import { unheldRules } from './docs/rules.ts'
import { countsLast, type TestEvent } from './support/counts-last.ts'
import { type Browsers, provision } from './support/provision.ts'

/**
 * `npm test`: provides Redis, Chromium, Firefox and other tools, then runs Node's own test runner.
 *
 *   npm test                                        everything, with coverage
 *   npm test -- test/unit/policy.test.ts            these files only
 *   npm test -- --without-coverage
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'without-coverage': { type: 'boolean', default: false } },
})

const { chromium, firefox } = provisionOrExit()
process.env['CHROMIUM_PATH'] = chromium
process.env['FIREFOX_PATH'] = firefox

const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stopped.abort(new Error(`Stopped by ${signal}`)))

// Names a file that does not end, for example because of an open socket, instead of hanging the build.
const wholeRunMs = 20 * 60_000
const singleTestMs = 10 * 60_000

const events = run({
  globPatterns: positionals.length > 0 ? positionals : ['test/**/*.test.ts'],
  // One more than processors: some files wait for most of their time, for locks to expire or connections to close.
  concurrency: availableParallelism() + 1,
  timeout: singleTestMs,
  execArgv: ['--import', import.meta.resolve('./support/file-end-hooks.ts')],
  signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(wholeRunMs)]),
  coverage: !values['without-coverage'],
  coverageIncludeGlobs: ['*.ts', 'config/**', 'http/**', 'lib/**', 'plugins/**', 'routes/**', 'demo/**'],
  coverageExcludeGlobs: ['test/**'],
})

const passed = new Set<string>()
events.on('test:pass', ({ name }) => passed.add(name))

process.exitCode = 1
events.on('test:summary', ({ file, success, counts }) => {
  if (file !== undefined) return
  if (counts.tests === 0) console.error('No test ran.')
  if (counts.skipped + counts.todo > 0) console.error('No test may be skipped or left to do.')
  // The tests of the rules are spread over the whole suite.
  const unheld = positionals.length === 0 ? unheldRules(passed) : []
  for (const { rule, heldBy } of unheld)
    console.error(`docs/bcp.md: nothing holds “${rule}”: no test passed as “${heldBy}”`)
  const isComplete = counts.tests > 0 && counts.skipped + counts.todo === 0 && unheld.length === 0
  process.exitCode = success && isComplete ? 0 : 1
})
events
  .compose<NodeJS.ReadableStream>((source: AsyncIterable<TestEvent>) => countsLast(source))
  .pipe(new spec())
  .pipe(process.stdout)

function provisionOrExit(): Browsers {
  try {
    return provision()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  }
}
