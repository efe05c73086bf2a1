import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { createMetrics } from '../../plugins/observability/prometheus.ts'
import { anchors, codeSpans } from '../docs/markdown.ts'

const root = resolve(import.meta.dirname, '../..')
const alerts = read('deploy/prometheus/alerts.yml')
const alertTests = read('deploy/prometheus/alerts.test.yml')
const dashboard = JSON.parse(read('deploy/grafana/fastify-bff.json')) as Dashboard
const runbook = read('docs/runbook.md')
const alertNames = [...alerts.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name = '']) => name)

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[]
}

test('promtool accepts the alerts, and each fires on the input of its test', () => {
  promtool('check', 'rules', 'deploy/prometheus/alerts.yml')
  promtool('test', 'rules', 'deploy/prometheus/alerts.test.yml')

  assert.ok(alertNames.length > 0)
  const fired = new Set(
    alertTests
      .split(/alertname: /)
      .filter((text) => text.includes('exp_labels'))
      .map((text) => /^\w+/.exec(text)?.[0]),
  )
  assert.deepEqual(
    alertNames.filter((name) => !fired.has(name)),
    [],
  )
})

test('alerts and dashboard query only metrics that the gateway exports', async () => {
  const { metrics, registry } = createMetrics()
  metrics.redisConnected(true)
  const exported = await registry.metrics()
  const expressions = [...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)), alerts]
  const named = new Set(expressions.flatMap((text) => text.match(/\b(?:bff|nodejs|process)_\w+/g) ?? []))

  assert.ok(named.size > 10)
  for (const name of named) {
    const metric = name.replace(/_(?:bucket|count)$/, '')
    assert.ok(exported.includes(`# TYPE ${metric} `) || exported.includes(`# TYPE ${name} `), name)
  }
})

test('each alert has a section in the runbook that says what it means and what to do', () => {
  const known = anchors(runbook)
  for (const name of alertNames) {
    assert.ok(known.includes(name.toLowerCase()), name)
    assert.ok(alerts.includes(`runbook: docs/runbook.md#${name.toLowerCase()}`), name)
    const [, section = ''] = runbook.split(`## ${name}\n`)
    assert.match(
      section.split('\n## ', 1)[0] ?? '',
      /\*\*Means\*\*[\s\S]+\*\*Look at\*\*[\s\S]+\*\*Do\*\*/,
      name,
    )
  }
})

test('the runbook names panels of the dashboard and events of the log that exist', () => {
  const code = globSync('{plugins,routes}/**/*.ts', { cwd: root }).map(read).join('\n')
  const events = codeSpans(runbook).filter((span) => /^(?:login|session|store|token)[._][\w.]+$/.test(span))
  const panels = [...runbook.matchAll(/panels? ("[^"]+"(?: and "[^"]+")?)/g)].flatMap(
    ([, text = '']) => text.match(/[^"]+(?=")/g)?.filter((title) => title !== ' and ') ?? [],
  )

  assert.ok(events.length > 3)
  for (const event of events) assert.ok(code.includes(`'${event}'`), event)
  assert.ok(panels.length > 3)
  for (const title of panels)
    assert.ok(
      dashboard.panels.some((panel) => panel.title === title),
      title,
    )
})

function promtool(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: root, encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
}

function read(path: string): string {
  return readFileSync(resolve(root, path), 'utf8')
}
