import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { findExecutable } from '../support/executables.ts'

const root = resolve(import.meta.dirname, '../..')
const chart = 'deploy/helm/fastify-bff'

/** What the chart makes of each example: the first is for those without Helm, the others are for the tests. */
export const rendered: Record<string, string> = {
  minimal: 'deploy/kubernetes/fastify-bff.yaml',
  'in-cluster': 'test/deploy/golden/in-cluster.yaml',
  'gateway-api': 'test/deploy/golden/gateway-api.yaml',
}
const digestFile = 'test/deploy/golden/chart.sha256'

export function read(path: string): string {
  return readFileSync(resolve(root, path), 'utf8')
}

/** Helm, if there is one. */
export function findHelm(): string | undefined {
  return findExecutable(['helm'])
}

/** @returns the manifests for `deploy/helm/examples/NAME.yaml` */
export function render(helm: string, example: string): string {
  const values = `deploy/helm/examples/${example}.yaml`
  const text = run(
    helm,
    'template',
    'shop',
    chart,
    '--namespace',
    'shop',
    '--kube-version',
    '1.34.0',
    '--values',
    values,
  )
  return `# Written by node test/deploy/chart.ts from the chart with ${values}: change these instead.\n${text}`
}

export function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

/** Of all files that decide what is rendered, so that outdated manifests are noticed without Helm. */
export function chartDigest(): string {
  const hash = createHash('sha256')
  for (const file of globSync(['deploy/helm/**/*.*'], { cwd: root }).sort())
    hash.update(`${file}\n${read(file)}`)
  return hash.digest('hex')
}

export function writtenDigest(): string {
  return read(digestFile).trim()
}

if (import.meta.main) {
  const helm = findHelm()
  if (!helm) throw new Error('There is no helm on the PATH: go install helm.sh/helm/v3/cmd/helm@v3.19.5')
  for (const [example, file] of Object.entries(rendered))
    writeFileSync(resolve(root, file), render(helm, example))
  writeFileSync(resolve(root, digestFile), `${chartDigest()}\n`)
}
