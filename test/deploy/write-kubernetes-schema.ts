import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse } from 'yaml'

/**
 * Writes test/data/kubernetes-schema.json: the schemas of the kinds that deploy/ uses, without descriptions, so that the
 * tests need neither a cluster nor the network. To take those of another version:
 *
 *   node test/deploy/write-kubernetes-schema.ts _definitions.json httproutes.yaml servicemonitors.yaml
 *
 * The first is in a folder such as v1.34.0-local-strict of the PyPI package kubernetes-validate, the others are custom
 * resource definitions of the Go modules sigs.k8s.io/gateway-api and github.com/prometheus-operator/prometheus-operator.
 */
type Schema = { [key: string]: unknown }

const kinds = {
  'v1 ConfigMap': 'io.k8s.api.core.v1.ConfigMap',
  'v1 Service': 'io.k8s.api.core.v1.Service',
  'v1 ServiceAccount': 'io.k8s.api.core.v1.ServiceAccount',
  'apps/v1 Deployment': 'io.k8s.api.apps.v1.Deployment',
  'autoscaling/v2 HorizontalPodAutoscaler': 'io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler',
  'networking.k8s.io/v1 Ingress': 'io.k8s.api.networking.v1.Ingress',
  'networking.k8s.io/v1 NetworkPolicy': 'io.k8s.api.networking.v1.NetworkPolicy',
  'policy/v1 PodDisruptionBudget': 'io.k8s.api.policy.v1.PodDisruptionBudget',
}

const [definitionsFile = '', ...crdFiles] = process.argv.slice(2)
const { $defs: definitions } = JSON.parse(readFileSync(definitionsFile, 'utf8')) as {
  $defs: Record<string, Schema>
}
const used: Record<string, Schema> = {}

function take(name: string): void {
  if (used[name]) return
  if (!definitions[name]) throw new Error(`There is no ${name}`)
  const schema = stripped(definitions[name]) as Schema
  used[name] = schema
  for (const [, other = ''] of JSON.stringify(schema).matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)) take(other)
}

/** Without what only people read. */
function stripped(value: unknown, isNames = false): unknown {
  if (Array.isArray(value)) return value.map((entry) => stripped(entry))
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(
    ([key]) => isNames || !(/^(description|format|default)$/.test(key) || key.startsWith('x-kubernetes-')),
  )
  return Object.fromEntries(
    kept.map(([key, member]) => [key, stripped(member, key === 'properties' && !isNames)]),
  )
}

/** Objects of a custom resource take no other members. */
function strict(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strict)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, strict(member)]))
  return 'properties' in value && 'type' in value ? { additionalProperties: false, ...members } : members
}

const roots: Record<string, Schema> = {}
for (const [kind, name] of Object.entries(kinds)) {
  take(name)
  roots[kind] = { $ref: `#/$defs/${name}` }
}
for (const file of crdFiles) {
  const { spec } = parse(readFileSync(file, 'utf8'))
  const { schema } = spec.versions.find(({ name }: { name: string }) => name === 'v1')
  const { properties, ...rest } = strict(stripped(schema.openAPIV3Schema)) as Schema & { properties: Schema }
  const metadata = { $ref: '#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }
  roots[`${spec.group}/v1 ${spec.names.kind}`] = { ...rest, properties: { ...properties, metadata } }
}

const path = resolve(import.meta.dirname, '../data/kubernetes-schema.json')
writeFileSync(path, `${JSON.stringify({ $defs: used, kinds: roots })}\n`)
